"""How the content of a record is made for a destination: a JSON object or a line of a message. All of it is pure."""
