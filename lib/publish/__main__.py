"""`python -m lib.publish RUN`: a finished run as a folder for the Hugging Face Hub, which its own client uploads."""

from collections.abc import Sequence
from pathlib import Path

from lib.errors import CommandLine, run_command
from lib.paths import OUTPUTS
from lib.publish.folder import publish
from lib.training import RunStore

UPLOAD = "hf upload NAME/MODEL {folder}   # pip install huggingface_hub; hf auth login"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the folder, say what is in it and how it is uploaded; nothing is sent anywhere."""
    parser = CommandLine(prog="python -m lib.publish", description=__doc__)
    parser.add_argument("run", help="a run's folder, its name in the store, or its hash")
    parser.add_argument(
        "--to", type=Path, metavar="FOLDER", help="where to write (default: publish/RUN in the outputs)"
    )
    parser.add_argument("--licence", help="an SPDX identifier (default: what the data set's licence leaves open)")
    parser.add_argument("--no-onnx", action="store_true", help="leave out the ONNX file, which needs '.[publish]'")
    parser.add_argument("--output-dir", "--output_dir", help="folder that holds the store of runs (default: outputs)")
    chosen = parser.parse_args(arguments)
    outputs = Path(chosen.output_dir) if chosen.output_dir else OUTPUTS
    run = RunStore(outputs / "runs").find(chosen.run)
    folder = publish(run, chosen.to or outputs / "publish" / run.path.name, chosen.licence, onnx=not chosen.no_onnx)
    for path in sorted(folder.iterdir()):
        print(f"{path}  {path.stat().st_size / 1e6:.1f} MB")
    print(UPLOAD.format(folder=folder))
    return 0


if __name__ == "__main__":
    run_command(main)
