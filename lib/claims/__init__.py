"""The papers' central claims on trial: what each says, on which task it is tried, and what came of it."""

from lib.claims.claim import NOT_TRIED, REFUTED, SHOWN, UNDECIDED, Claim
from lib.claims.claims import CLAIMS
from lib.claims.trial import Trial, trials

__all__ = ["CLAIMS", "NOT_TRIED", "REFUTED", "SHOWN", "UNDECIDED", "Claim", "Trial", "trials"]
