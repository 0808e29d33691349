"""The portal as this project sees it: how to ask, and what an answer means. No database and no broker here."""
