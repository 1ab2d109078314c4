"""What the abbreviations of skin lesions mean, as HAM10000 (Tschandl et al., doi:10.1038/sdata.2018.161) and ISIC-2018 write
them out, and which class a table means that writes them in another way."""

import pandas as pd

HAM10000 = {
    "akiec": "akiec: actinic keratoses and intraepithelial carcinoma",
    "bcc": "bcc: basal cell carcinoma",
    "bkl": "bkl: benign keratosis-like lesions",
    "df": "df: dermatofibroma",
    "mel": "mel: melanoma",
    "nv": "nv: melanocytic nevi",
    "vasc": "vasc: angiomas, pyogenic granulomas and hemorrhage",
}
ISIC2018 = {
    "akiec": "AKIEC: actinic keratosis / Bowen's disease",
    "bcc": "BCC: basal cell carcinoma",
    "bkl": "BKL: benign keratosis",
    "df": "DF: dermatofibroma",
    "mel": "MEL: melanoma",
    "nv": "NV: melanocytic nevus",
    "vasc": "VASC: vascular lesion",
}
ARCHIVE = {  # the ISIC archive's own words
    "actinic keratosis": "akiec",
    "pigmented benign keratosis": "bkl",
    "nevus": "nv",
    "pyogenic granulomas and hemorrhage": "vasc",
}
SPELLINGS = ARCHIVE | {
    spelling: code
    for names in (HAM10000, ISIC2018)
    for code, name in names.items()
    for spelling in (code, name.split(": ")[1].casefold())
}


def abbreviated(diagnoses: pd.Series) -> pd.Series:
    """HAM10000's abbreviations of `diagnoses` in any of the spellings and in any case; others are left as they are."""
    return diagnoses.map(lambda name: SPELLINGS.get(str(name).strip().casefold(), name))
