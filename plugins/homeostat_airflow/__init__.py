"""Homeostat inside Airflow: operators that call one flow each, the trigger they wait on, and notices."""
