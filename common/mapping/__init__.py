"""How the content of a record is made for a destination: fields of a JSON object, or a line of a message. All is pure."""
