"""Files of spreadsheets, as the child process reads them that nothing but memory and time can be taken from.

Nothing here knows a database, a network or a setting.
"""
