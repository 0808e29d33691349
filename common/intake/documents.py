"""CNPJ and CPF: their check digits, and their punctuation.

A CNPJ may hold letters since July 2026 (Instrução Normativa RFB 2.229/2024): a character counts as its ASCII code less
48, so that the digits keep the weights that they had.
"""

import re

CNPJ_LENGTH, CPF_LENGTH = 14, 11
_PUNCTUATION = re.compile(r"[\s./-]")
_CNPJ = re.compile(r"[0-9A-Z]{12}[0-9]{2}")
_CPF = re.compile(r"[0-9]{11}")
_CNPJ_WEIGHTS = (6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)
_CPF_WEIGHTS = (11, 10, 9, 8, 7, 6, 5, 4, 3, 2)


def without_punctuation(written: str) -> str:
    """What of it counts, letters in upper case."""
    return _PUNCTUATION.sub("", written).upper()


def is_cnpj(written: str) -> bool:
    """Whether a text of 14 characters without punctuation is a CNPJ with the right check digits."""
    return _CNPJ.fullmatch(written) is not None and _checks(written, _CNPJ_WEIGHTS)


def is_cpf(written: str) -> bool:
    """Whether a text of 11 digits without punctuation is a CPF with the right check digits."""
    return _CPF.fullmatch(written) is not None and _checks(written, _CPF_WEIGHTS)


def _checks(written: str, weights: tuple[int, ...]) -> bool:
    if written == written[0] * len(written):  # its sums are right, and it is never issued
        return False
    codes = [code - 48 for code in written.encode("ascii")]
    first = _digit(sum(map(int.__mul__, codes, weights[1:])))
    return codes[-2] == first and codes[-1] == _digit(sum(map(int.__mul__, codes, weights)))


def _digit(total: int) -> int:
    rest = total % 11
    return 0 if rest < 2 else 11 - rest  # noqa: PLR2004  # as both rules say
