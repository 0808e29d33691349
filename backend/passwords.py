"""Passwords: hashing (argon2id), minimum quality, and the command that hashes one."""

import getpass
import sys

import argon2
from argon2.exceptions import VerificationError, VerifyMismatchError

LONGEST_PASSWORD = 128
"""Bytes. Longer passwords are refused before hashing, never cut."""
SHORTEST_PASSWORD = 12
FEWEST_SIGNS = 5
SHORTEST_HASH = 32
MOST_MEMORY_KIB = 256 * 1024

# OWASP's floor: the libraries' own defaults take up to 64 MiB for each password that a stranger sends
_HASHER = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)

_PLACEHOLDERS = ("changeme", "change-me", "change_me", "example")
SAMPLES = ("admin", "password", "senha", "secret", "changeme", "change-me", "change-me-please")


class UnfitPasswordError(ValueError):
    """The password is too weak or unusable; the text gives the reason and never the password."""


def hash_password(password: bytes) -> str:
    """The hash of a password, with a salt of its own, in the usual notation `$argon2id$...`."""
    return _HASHER.hash(password)


def verify_password(stored: str, password: bytes) -> bool:
    """Whether a password is the one that was hashed."""
    try:
        return _HASHER.verify(stored, password)
    except (VerificationError, ValueError):  # no match, or a malformed hash
        return False


def dummy_like(stored: str) -> str:
    """A hash of the same cost that no password matches; unknown users are checked against it."""
    return argon2.PasswordHasher.from_parameters(argon2.extract_parameters(stored)).hash("dummy")


def check_hash(stored: str) -> str:
    """Answer the hash if a password can be checked against it.

    Raises:
        UnfitPasswordError: it cannot, or to do so would take too much memory.

    """
    try:
        parameters = argon2.extract_parameters(stored)
        whole = parameters.hash_len >= SHORTEST_HASH  # a truncated hash can be parsed too, but matches nothing
        if whole and parameters.type is argon2.Type.ID and parameters.memory_cost <= MOST_MEMORY_KIB:
            _HASHER.verify(stored, b"")  # the hash of an empty password would protect nothing
    except VerifyMismatchError:
        return stored
    except (VerificationError, ValueError):
        pass
    raise UnfitPasswordError("is no argon2id hash; make one with: python -m backend hash-password")


def check_strength(password: str, username: str) -> None:
    """Refuse a password that can be guessed.

    Raises:
        UnfitPasswordError: too short, the user's name, a documented example, or few distinct characters.

    """
    if len(password.encode()) > LONGEST_PASSWORD:
        raise UnfitPasswordError(f"is longer than {LONGEST_PASSWORD} bytes")
    if len(password) < SHORTEST_PASSWORD:
        raise UnfitPasswordError(f"is shorter than {SHORTEST_PASSWORD} characters")
    if password.casefold() == username.casefold():
        raise UnfitPasswordError("is the user's name")
    if is_sample(password):
        raise UnfitPasswordError("is a sample or too simple")


def is_sample(secret: str) -> bool:
    """Whether a secret is a documented example or repeats a few characters."""
    folded = secret.casefold()
    return any(word in folded for word in _PLACEHOLDERS) or folded in SAMPLES or len(set(secret)) < FEWEST_SIGNS


def hash_from_terminal() -> int:
    """Read a password, from a prompt or as one line of standard input, and print its hash; answers the exit code.

    A command-line argument would be visible to everyone on the machine.
    """
    if sys.stdin.isatty():
        password = getpass.getpass("password: ")
        if getpass.getpass("once more: ") != password:
            sys.stderr.write("the two are not the same\n")
            return 1
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    try:
        check_strength(password, "")
    except UnfitPasswordError as error:
        sys.stderr.write(f"the password {error}\n")
        return 1
    sys.stdout.write(hash_password(password.encode()) + "\n")
    sys.stderr.write("in .env, put it in single quotes: ADMIN_PASSWORD_HASH='$argon2id$...'\n")
    return 0
