"""Alerts: findings in the database become episodes, and channels notify administrators."""
