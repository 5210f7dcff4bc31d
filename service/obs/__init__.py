"""What operators see: times, metrics, logs, traces."""
