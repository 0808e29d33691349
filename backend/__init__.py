"""The admin service: records executions, rings the bell, tells how they go."""
