"""Tables as programs and people leave them: read alike, and what cannot be read is told with its row."""

import pandas as pd
import pytest

from lib.data.table_reader import filled, read_table
from lib.errors import WorkbookError

ROWS = [("HAM_01", "ISIC_1", "nv"), ("HAM_01", "ISIC_2", "mel"), ("HAM_02", "ISIC_3", "nv")]
COLUMNS = ("lesion_id", "image_id", "dx")


def lines(*, header="lesion_id,image_id,dx", row="{}", sign=",", end="\n"):
    return end.join([header, *(row.format(sign.join(fields)) for fields in ROWS)]) + end


@pytest.fixture
def read(tmp_path):
    def read(text, columns=COLUMNS, **how):
        path = tmp_path / "table.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
        return read_table(path, columns, **how)

    return read


AS_PEOPLE_HAVE_THEM = {
    "plain": lines(),
    "a comma at each row's end": lines(row="{},"),
    "padded with commas to the widest sheet": lines(row="{},,,,"),
    "a comma at the header's end": lines(header="lesion_id,image_id,dx,"),
    "R's names of rows, which the header does not count": "".join(
        [lines(header='"lesion_id","image_id","dx"').splitlines(True)[0]]
        + [f'"{number}",{",".join(row)}\n' for number, row in enumerate(ROWS, 1)]
    ),
    "an index without a name": ",lesion_id,image_id,dx\n" + "".join(f"{i},{','.join(r)}\n" for i, r in enumerate(ROWS)),
    "blanks after commas": lines(header="lesion_id, image_id, dx", sign=", "),
    "blanks before commas and at the end": lines(header="lesion_id ,image_id ,dx ", sign=" ,", row="{} "),
    "semicolons": lines(header="lesion_id;image_id;dx", sign=";"),
    "tabs": lines(header="lesion_id\timage_id\tdx", sign="\t"),
    "semicolons and a column with commas": "lesion_id;image_id;dx;x,y,z,u\n" + "".join(f"{';'.join(r)};1\n" for r in ROWS),
    "a semicolon in a column's name": lines(header='lesion_id,image_id,dx,"site; side"', row="{},back"),
    "bars": lines(header="lesion_id|image_id|dx", sign="|"),
    "Excel's Unicode text": lines(header="lesion_id\timage_id\tdx", sign="\t", end="\r\n").encode("utf-16"),
    "Excel's line that tells the separator": "sep=;\r\n" + lines(header="lesion_id;image_id;dx", sign=";", end="\r\n"),
    "Excel's line that tells a comma": "sep=,\n" + lines(),
    "blanks within quotes": lines(sign=' "," ', row='" {} "'),
    "a blank at the end": lines().rstrip() + " ",
    "signs that nobody sees": "\ufeff" + lines(header="\ufefflesion_id,image_id\u200b,dx", sign="\u200b,\xa0"),
    "empty rows of a sheet": lines() + ",,\n,,\n",
    "empty lines before, between and after": "\n" + lines().replace("\n", "\n\n") + " \n",
    "a mark of its encoding": "\ufeff" + lines(),
    "Windows' line ends": lines(end="\r\n"),
    "old Macs' line ends": lines(end="\r"),
    "a column twice that is not asked for": lines(header="lesion_id,image_id,dx,note,note", row="{},x,y"),
    "quotes": lines(sign='","', row='"{}"'),
}  # fmt: skip


@pytest.mark.parametrize("kind", AS_PEOPLE_HAVE_THEM)
def test_a_table_is_read_however_its_program_wrote_it(read, kind):
    table = read(AS_PEOPLE_HAVE_THEM[kind])
    assert list(zip(*(table[column] for column in COLUMNS), strict=True)) == ROWS


def test_rows_are_numbered_as_an_editor_numbers_lines(read):
    text = 'lesion_id,image_id,dx,note\nHAM_1,ISIC_1,nv,"two\nlines"\n\n,,,\nHAM_2,ISIC_2,nv,"a\r\nb\r\nc"\nHAM_3,ISIC_3,nv,'
    table = read(text)
    assert table.index.tolist() == [2, 6, 9]
    assert table["note"].tolist() == ["two\nlines", "a\r\nb\r\nc", ""]


@pytest.mark.parametrize("end", ["", "\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_lines_are_counted_to_the_last_one_in_any_encoding(read, end, encoding):
    text = 'lesion_id,image_id,dx,note\nHAM_1,ISIC_1,nv,"two\nlines"\nHAM_2,ISIC_2,nv,'
    assert read((text + end).encode(encoding)).index.tolist() == [2, 4]


def test_text_stays_text_and_a_row_that_ends_early_is_filled_up(read):
    table = read("lesion_id,image_id,dx\n007,NA,1e3\n010,ISIC_2\n")
    assert table.to_numpy().tolist() == [["007", "NA", "1e3"], ["010", "ISIC_2", ""]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "table.csv is empty"),
        ("lesion_id,image_id,dx\n,,\n", "has a header and no rows"),
        ("lesion_id,image_id\na,b\n", "lacks the column 'dx'; it has lesion_id, image_id"),
        (lines(header="lesion_id,image_id,dx,dx", row="{},x"), "has the columns dx and dx, and which is meant nobody can tell"),
        (lines() + "HAM_4,ISIC_4,back, upper,nv\n", r"row 5: there are more fields than the header's 3 \(lesion_id, image"),
        (lines(row="{},x,y"), r"row 2: there are more fields than the header's 3"),
        (lines(row="1,{}"), r"row 2: there are more fields"),  # no names of rows: these are all different
        (lines() + '"HAM_4,ISIC_4,nv\nHAM_5,ISIC_5,nv\n', "row 5: a quotation mark opens there and nothing closes it"),
        (lines().encode("utf-16")[:-1], "not a readable CSV table .*save it as CSV in UTF-8"),
        (lines().encode("utf-16-le"), "lacks the column|not a readable CSV table"),
        ("lesion_id,image_id,dx\ntête,ISIC_1,nv\n".encode("latin-1"), "save it as CSV in UTF-8"),
        (bytes(500), "lacks the column|is empty|not a readable"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told(read, text, message):
    with pytest.raises(WorkbookError, match=message):
        read(text)


def test_words_for_missing_values_are_missing():
    words = pd.Series(
        [
            "HAM_1",
            "",
            "nan",
            "NA",
            "N/A",
            "unknown",
            "None",
            "null",
            "NULL",
            "?",
            "<NA>",
            "Nana",
            "0",
            "#N/A",
            "n.a.",
            ".",
        ]
    )
    ids = pd.Series([f"ISIC_{i}" for i in range(len(words))])
    assert filled(words, ids).tolist() == ["HAM_1", *ids[1:11], "Nana", "0", *ids[13:]]
