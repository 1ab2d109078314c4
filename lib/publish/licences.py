"""Under what licence weights may be given away, as far as the data that they were trained on say it."""

BUILT_IN = "mit"  # what the workbook draws is its own; the digits of scikit-learn are free
OTHER = "other"
OF_DATA = {  # the Hub's identifiers; a set that is not here states none, or its own terms: data/README.md has them
    "HAM10000": "cc-by-nc-4.0",
    "isic-2018-task-3": "cc-by-nc-4.0",
    "Caltech101": "cc-by-4.0",
    "oxford-iiit-pet": "cc-by-sa-4.0",
}
WORDS = {
    BUILT_IN: "The workbook and what it draws are under the MIT licence.",
    OTHER: "The licence is left open: the data set's own terms decide. Look them up before you give the weights away.",
}


def licence_of(dataset: str, built_in: bool) -> str:
    """The identifier for weights trained on `dataset`."""
    return BUILT_IN if built_in else OF_DATA.get(dataset, OTHER)


def licence_text(licence: str) -> str:
    """One sentence on it, for the card."""
    return WORDS.get(licence, f"{licence}: as the data that the weights were trained on.")
