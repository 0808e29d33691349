"""Alerts: findings in the database become episodes, and channels tell administrators of them."""
