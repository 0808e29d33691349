"""The sentences of deliveries to other systems."""

SENTENCES = {
    "delivery.hint": (
        "Nenhuma conexão está configurada: defina CONNECTIONS_DIR com a pasta dos arquivos (docs/delivery.md).",
        "No connection is configured: set CONNECTIONS_DIR to the folder of the files (docs/delivery.md).",
    ),
}
