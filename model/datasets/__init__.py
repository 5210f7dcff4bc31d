"""Readers of data set formats that training and index share."""
