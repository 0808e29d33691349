"""What others hand over becomes values and rows: the same rules for pushed JSON, sheets and foreign databases."""
