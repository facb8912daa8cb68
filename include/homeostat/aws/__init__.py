"""The drift detector: a Lambda function that checks one window, by the flows that Airflow calls too."""
