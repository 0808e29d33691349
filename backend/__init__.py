"""The admin service: records executions, publishes messages, reports progress."""
