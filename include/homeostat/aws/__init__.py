"""The drift-check Lambda function and the train step on Fargate; both run the same code as Airflow."""
