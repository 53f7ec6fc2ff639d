"""The one kind of error that a user can mend."""


class InputError(ValueError):
    """Something the user gave is wrong: a config key, a file, a name.

    The message is one line that names the key or file, says what is wrong and what the nearest fix
    is. The scripts print it and exit with code 2; any other exception is a bug and keeps its traceback.
    """
