#!/usr/bin/env bash
# Builds and pushes the two images, and tells Terraform their digests: infra/terraform/images.auto.tfvars.
#
#   infra/aws/push_images.sh                       reads project and region from infra/terraform/terraform.tfvars
#   infra/aws/push_images.sh -backend-config=...   what is given goes to `terraform init` of infra/terraform/images
#
# A commit is built once: a tag is a commit, and the repositories let no tag be pushed twice. Run it again after each
# commit that should go out, and `terraform apply` after it. Needs docker, terraform, AWS credentials and `make setup`.
set -euo pipefail
cd "$(dirname "$0")/../.."

say() { echo "push_images: $*" >&2; }
give_up() { say "$*" && exit 1; }

root=infra/terraform
python=${PYTHON:-.venv/bin/python}
[[ -f $root/terraform.tfvars ]] ||
	give_up "$root/terraform.tfvars is not there: copy terraform.tfvars.example and fill it in"
command -v docker >/dev/null || give_up "docker is not on PATH"
"$python" -c 'import boto3' 2>/dev/null || give_up "$python has no boto3: make setup"

# Lambda takes a plain image only, not an index with attestations beside it.
export BUILDX_NO_DEFAULT_ATTESTATIONS=1 TF_IN_AUTOMATION=1

say "the repositories"
terraform -chdir=$root/images init -input=false "$@" >&2
terraform -chdir=$root/images apply -input=false -auto-approve -compact-warnings -var-file=../terraform.tfvars >&2
repositories=$(terraform -chdir=$root/images output -json repositories)
address() { "$python" -c 'import json, sys; print(json.loads(sys.argv[1])[sys.argv[2]])' "$repositories" "$1"; }

# Asks ECR; prints nothing where it has no such image.
digest() {
	"$python" - "$1" "$2" <<'PY'
import sys

import boto3

host, _, name = sys.argv[1].partition("/")
ecr = boto3.client("ecr", region_name=host.split(".")[3])
try:
    found = ecr.describe_images(repositoryName=name, imageIds=[{"imageTag": sys.argv[2]}])
    print(found["imageDetails"][0]["imageDigest"])
except ecr.exceptions.ImageNotFoundException:
    pass
PY
}

sign_in() {
	"$python" - "$1" <<'PY' | docker login --username AWS --password-stdin "$1" >&2
import base64
import sys

import boto3

ecr = boto3.client("ecr", region_name=sys.argv[1].split(".")[3])
token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
print(base64.b64decode(token).decode().partition(":")[2])
PY
}

tag=$(git rev-parse --short=12 HEAD)
if [[ -n $(git status --porcelain --untracked-files=no) ]]; then
	tag+=-$(date -u +%Y%m%dT%H%M%S)
	say "there are changes that are not committed: the tag is $tag"
fi

detector=$(address detector)
platform=$(address platform)
sign_in "${detector%%/*}"

# push REPOSITORY DOCKERFILE: prints the image by its digest.
push() {
	local image=$1 found
	found=$(digest "$image" "$tag")
	if [[ -z $found ]]; then
		say "$2 -> $image:$tag"
		docker build --platform linux/amd64 --file "$2" --tag "$image:$tag" . >&2
		docker push "$image:$tag" >&2
		found=$(digest "$image" "$tag")
		[[ -n $found ]] || give_up "docker pushed $image:$tag, but ECR has no such image"
	fi
	echo "$image@$found"
}

detector_image=$(push "$detector" infra/aws_lambda/Dockerfile)
training_image=$(push "$platform" Dockerfile)
cat >$root/images.auto.tfvars <<TEXT
# Written by infra/aws/push_images.sh for $tag.
detector_image = "$detector_image"
training_image = "$training_image"
TEXT
say "wrote $root/images.auto.tfvars; next: terraform -chdir=$root apply"
