# The ECS task for the train step of models with "training: {runs_on: ecs}". Between retrains nothing runs and nothing is paid.

locals {
  container = "train"
}

resource "aws_ecs_cluster" "this" {
  name = var.project

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_ecs_cluster_capacity_providers" "this" {
  cluster_name       = aws_ecs_cluster.this.name
  capacity_providers = ["FARGATE"]
}

resource "aws_ecs_task_definition" "train" {
  #checkov:skip=CKV_AWS_336:the step writes bundles to a temporary folder, and Fargate mounts volumes as root, while the step runs as a user; the disk is deleted with the task
  family                   = "${var.project}-train"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = 4096
  memory                   = 16384
  execution_role_arn       = aws_iam_role.task_execution.arn
  task_role_arn            = aws_iam_role.task.arn

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = "X86_64"
  }

  ephemeral_storage {
    size_in_gib = 50
  }

  container_definitions = jsonencode([
    {
      name      = local.container
      image     = var.training_image
      essential = true
      cpu       = 4096
      memory    = 16384
      user      = "50000" # the user of the image, see the Dockerfile

      # Airflow overrides it: homeostat train-step MODEL --run-key KEY.
      command = ["homeostat", "train-step", "--help"]

      environment = [
        for name, value in merge(var.training_environment, {
          AWS_DEFAULT_REGION     = var.region
          HOMEOSTAT_IMAGE_DIGEST = split("@", var.training_image)[1]
          HOMEOSTAT_STORE        = local.store_uri
          MLFLOW_TRACKING_URI    = var.mlflow_tracking_uri
        }) : { name = name, value = value }
      ]

      secrets = [for name, arn in var.training_secrets : { name = name, valueFrom = arn }]

      linuxParameters = {
        initProcessEnabled = true
        capabilities       = { drop = ["ALL"] }
      }

      logConfiguration = {
        logDriver = "awslogs"
        options = {
          awslogs-group         = aws_cloudwatch_log_group.this["train"].name
          awslogs-region        = var.region
          awslogs-stream-prefix = local.container
        }
      }
    }
  ])
}

resource "aws_security_group" "train" {
  #checkov:skip=CKV2_AWS_5:Airflow attaches it to each task that it starts, see the output airflow_environment
  # AWS cannot change the description of a security group: a new text would recreate it.
  name        = "${var.project}-train"
  description = "Training tasks: nobody connects to them, and they connect to what var.training_egress names."
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_egress_rule" "train" {
  for_each = var.training_egress

  security_group_id = aws_security_group.train.id
  description       = each.key
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
  cidr_ipv4         = each.value.cidr
}
