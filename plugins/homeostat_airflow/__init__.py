"""Homeostat in Airflow: one operator per step, the triggers that operators wait on, and notices."""
