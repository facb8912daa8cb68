#!/usr/bin/env bash
# Builds and pushes the two images, and writes their digests to infra/terraform/images.auto.tfvars.
#
#   infra/aws/push_images.sh                       reads project and region from infra/terraform/terraform.tfvars
#   infra/aws/push_images.sh -backend-config=...   passes its arguments to `terraform init` in infra/terraform/images
#
# Each commit is built once: its hash is the tag, and the repositories refuse to overwrite a tag. To deploy a commit, run
# this script, then `terraform apply`. Requires docker, terraform, AWS credentials and `make setup`.
set -euo pipefail
cd "$(dirname "$0")/../.."

say() { echo "push_images: $*" >&2; }
fail() { say "$*" && exit 1; }

root=infra/terraform
python=${PYTHON:-.venv/bin/python}
[[ -f $root/terraform.tfvars ]] ||
	fail "$root/terraform.tfvars does not exist: copy terraform.tfvars.example to it and edit it"
command -v docker >/dev/null || fail "docker is not on PATH: install it"
"$python" -c 'import boto3' 2>/dev/null || fail "$python has no boto3: run make setup"

# Lambda accepts only a plain image, not an index with attestations.
export BUILDX_NO_DEFAULT_ATTESTATIONS=1 TF_IN_AUTOMATION=1

say "creating the image repositories"
terraform -chdir=$root/images init -input=false "$@" >&2
terraform -chdir=$root/images apply -input=false -auto-approve -compact-warnings -var-file=../terraform.tfvars >&2
repositories=$(terraform -chdir=$root/images output -json repositories)
repository_url() { "$python" -c 'import json, sys; print(json.loads(sys.argv[1])[sys.argv[2]])' "$repositories" "$1"; }

# digest REPOSITORY TAG: prints the digest in ECR, or nothing if the image does not exist.
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
	say "uncommitted changes: the tag is $tag"
fi

revision=$(git describe --always --dirty --abbrev=40 --exclude='*')
lambda=$(repository_url detector)
platform=$(repository_url platform)
sign_in "${lambda%%/*}"

# push REPOSITORY DOCKERFILE [OPTION...]: builds, with these options of docker build, and pushes the image unless ECR has
# it; prints the image with its digest.
push() {
	local image=$1 found
	found=$(digest "$image" "$tag")
	if [[ -z $found ]]; then
		say "building $image:$tag from $2"
		docker build --platform linux/amd64 "${@:3}" --file "$2" --tag "$image:$tag" . >&2
		docker push "$image:$tag" >&2
		found=$(digest "$image" "$tag")
		[[ -n $found ]] || fail "docker pushed $image:$tag, but it is not in ECR"
	fi
	echo "$image@$found"
}

lambda_image=$(push "$lambda" infra/aws_lambda/Dockerfile)
training_image=$(push "$platform" Dockerfile --build-arg "GIT_REVISION=$revision")
cat >$root/images.auto.tfvars <<TEXT
# Written by infra/aws/push_images.sh for $tag.
detector_image = "$lambda_image"
training_image = "$training_image"
TEXT
say "wrote $root/images.auto.tfvars; next: terraform -chdir=$root apply"
