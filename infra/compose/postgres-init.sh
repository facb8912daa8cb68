#!/bin/bash
# Runs once, on an empty data folder: creates a database and an owner each for Airflow, MLflow and the ledger. Airflow and
# MLflow cannot share a database: both have a table alembic_version.
set -euo pipefail

make_database() {
	psql --set ON_ERROR_STOP=1 --set name="$1" --set password="$2" --username "$POSTGRES_USER" --dbname postgres <<-'SQL'
		CREATE ROLE :"name" LOGIN PASSWORD :'password';
		CREATE DATABASE :"name" OWNER :"name";
		REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
	SQL
}

make_database airflow "$AIRFLOW_DB_PASSWORD"
make_database mlflow "$MLFLOW_DB_PASSWORD"
make_database ledger "$LEDGER_DB_PASSWORD"
