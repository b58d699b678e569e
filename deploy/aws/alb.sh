#!/usr/bin/env bash
# face-auth-system: rendered from the fleet file by `python -m deploy render`; change that, not this.
#
# Makes an Application Load Balancer for api.faceauth.example.com,
# or brings the one that is there to what stands here: it may be run again. Needs the AWS command line, signed in. Variables (what the fleet file gave is their default):
#
#   VPC              vpc-…
#   SUBNETS          "subnet-… subnet-…", of two availability zones at least
#   SECURITY_GROUPS  "sg-…"; open for 80 and 443 from the clients, and allowed by the backends' own group
#   CERTIFICATE_ARN  arn:aws:acm:…; without it one is requested, and its DNS record printed and waited for
#   TARGETS          "ID:PORT ID:PORT …"
set -euo pipefail
shopt -s inherit_errexit  # or a failing call inside $(…) would read as an empty answer

export AWS_DEFAULT_REGION="${AWS_DEFAULT_REGION:-eu-west-1}" AWS_PAGER=""
VPC="${VPC:-}"
SUBNETS="${SUBNETS:-}"
SECURITY_GROUPS="${SECURITY_GROUPS:-}"
CERTIFICATE_ARN="${CERTIFICATE_ARN:-}"
TARGETS="${TARGETS:-10.0.1.10:8000 10.0.1.11:8000 10.0.1.12:8000}"

HOST=api.faceauth.example.com
LOAD_BALANCER=face-auth-lb
TARGET_GROUP=face-auth-targets
TLS_POLICY=ELBSecurityPolicy-TLS13-1-2-Res-2021-06

die() { printf 'alb.sh: %s\n' "$*" >&2; exit 2; }
say() { printf '%s\n' "$*" >&2; }

# every NAME COUNT PATTERN WORDS…: at least COUNT words, each of that form.
every() {
    local name=$1 least=$2 pattern=$3 word
    shift 3
    (($# >= least)) || die "$name: give at least $least"
    for word in "$@"; do
        [[ $word =~ ^$pattern$ ]] || die "$name: '$word' does not look like $pattern"
    done
}

command -v aws > /dev/null || die "the AWS command line is not installed"
read -ra subnets <<< "$SUBNETS"
read -ra groups <<< "$SECURITY_GROUPS"
read -ra targets <<< "$TARGETS"
every VPC 1 'vpc-[0-9a-f]{8,17}' ${VPC:+"$VPC"}
every SUBNETS 2 'subnet-[0-9a-f]{8,17}' "${subnets[@]}"
every SECURITY_GROUPS 1 'sg-[0-9a-f]{8,17}' "${groups[@]}"
every TARGETS 1 '[0-9]{1,3}(\.[0-9]{1,3}){3}:[0-9]{1,5}' "${targets[@]}"
every CERTIFICATE_ARN 0 'arn:aws[a-z-]*:acm:[a-z0-9-]+:[0-9]{12}:certificate/[0-9a-f-]{36}' ${CERTIFICATE_ARN:+"$CERTIFICATE_ARN"}

# one COMMAND…: its single answer as text, empty where AWS says None.
one() {
    local found
    found=$(aws "$@" --output text)
    [[ $found == None ]] || printf '%s' "$found"
}

# --- certificate --------------------------------------------------------------------------------------------------------------
if [[ -z $CERTIFICATE_ARN ]]; then
    CERTIFICATE_ARN=$(one acm list-certificates --certificate-statuses ISSUED PENDING_VALIDATION \
        --query "CertificateSummaryList[?DomainName=='$HOST'] | [0].CertificateArn")
fi
if [[ -z $CERTIFICATE_ARN ]]; then
    CERTIFICATE_ARN=$(one acm request-certificate --domain-name "$HOST" --validation-method DNS --query CertificateArn)
    say "requested $CERTIFICATE_ARN"
fi
state=$(one acm describe-certificate --certificate-arn "$CERTIFICATE_ARN" --query Certificate.Status)
if [[ $state != ISSUED ]]; then
    say "put this record into the DNS; waiting until it is seen:"
    one acm describe-certificate --certificate-arn "$CERTIFICATE_ARN" \
        --query 'Certificate.DomainValidationOptions[0].ResourceRecord.[Name,Type,Value]' >&2
    say ""
    aws acm wait certificate-validated --certificate-arn "$CERTIFICATE_ARN"
fi

# --- target group: /ready, so that a draining backend is left in peace ---------------------------------------------------------
check=(
    --health-check-protocol HTTPS --health-check-port traffic-port --health-check-path /ready
    --health-check-interval-seconds 5 --health-check-timeout-seconds 2
    --healthy-threshold-count 2 --unhealthy-threshold-count 3 --matcher HttpCode=200
)
group=$(one elbv2 describe-target-groups \
    --query "TargetGroups[?TargetGroupName=='$TARGET_GROUP' && VpcId=='$VPC'] | [0].TargetGroupArn")
if [[ -z $group ]]; then
    group=$(one elbv2 create-target-group --name "$TARGET_GROUP" --protocol HTTPS --protocol-version HTTP1 --port 8000 \
        --target-type ip --vpc-id "$VPC" "${check[@]}" --query 'TargetGroups[0].TargetGroupArn')
else
    aws elbv2 modify-target-group --target-group-arn "$group" "${check[@]}" > /dev/null
fi
# Least outstanding requests and slow start exclude each other: only one of them is ever set here.
aws elbv2 modify-target-group-attributes --target-group-arn "$group" --attributes \
    Key=load_balancing.algorithm.type,Value=least_outstanding_requests \
    Key=deregistration_delay.timeout_seconds,Value=30 \
    Key=slow_start.duration_seconds,Value=0 \
    Key=stickiness.enabled,Value=false > /dev/null

registered=()
for target in "${targets[@]}"; do
    registered+=("Id=${target%:*},Port=${target##*:}")
done
aws elbv2 register-targets --target-group-arn "$group" --targets "${registered[@]}"

# --- balancer -------------------------------------------------------------------------------------------------------------------
balancer=$(one elbv2 describe-load-balancers --query "LoadBalancers[?LoadBalancerName=='$LOAD_BALANCER'] | [0].LoadBalancerArn")
if [[ -z $balancer ]]; then
    balancer=$(one elbv2 create-load-balancer --name "$LOAD_BALANCER" --type application \
        --scheme internet-facing --subnets "${subnets[@]}" --security-groups "${groups[@]}" \
        --query 'LoadBalancers[0].LoadBalancerArn')
fi
aws elbv2 modify-load-balancer-attributes --load-balancer-arn "$balancer" --attributes \
    Key=idle_timeout.timeout_seconds,Value=60 \
    Key=routing.http.drop_invalid_header_fields.enabled,Value=true \
    Key=routing.http.desync_mitigation_mode,Value=defensive \
    Key=deletion_protection.enabled,Value=true > /dev/null
aws elbv2 wait load-balancer-available --load-balancer-arns "$balancer"

# --- listeners: 80 sends to 443; 443 answers 404 to all but what the rules name -------------------------------------------------
listener() { one elbv2 describe-listeners --load-balancer-arn "$balancer" --query "Listeners[?Port==\`$1\`] | [0].ListenerArn"; }

# listen PORT OPTIONS…: make the listener, or bring it to these options; prints its ARN.
listen() {
    local port=$1 found
    shift
    found=$(listener "$port")
    if [[ -z $found ]]; then
        one elbv2 create-listener --load-balancer-arn "$balancer" --port "$port" "$@" --query 'Listeners[0].ListenerArn'
    else
        aws elbv2 modify-listener --listener-arn "$found" "$@" > /dev/null
        printf '%s' "$found"
    fi
}

listen 80 --protocol HTTP --default-actions \
    'Type=redirect,RedirectConfig={Protocol=HTTPS,Port="443",StatusCode=HTTP_301}' > /dev/null
https=$(listen 443 --protocol HTTPS --ssl-policy "$TLS_POLICY" --certificates "CertificateArn=$CERTIFICATE_ARN" --default-actions \
    'Type=fixed-response,FixedResponseConfig={StatusCode="404",ContentType=text/plain,MessageBody="Nothing here"}')

# forward PRIORITY PATHS: the API under its host name.
forward() {
    local found conditions
    conditions="[{\"Field\":\"host-header\",\"HostHeaderConfig\":{\"Values\":[\"$HOST\"]}},{\"Field\":\"path-pattern\",\"PathPatternConfig\":{\"Values\":[$2]}}]"
    found=$(one elbv2 describe-rules --listener-arn "$https" --query "Rules[?Priority=='$1'] | [0].RuleArn")
    if [[ -z $found ]]; then
        aws elbv2 create-rule --listener-arn "$https" --priority "$1" --conditions "$conditions" \
            --actions "Type=forward,TargetGroupArn=$group" > /dev/null
    else
        aws elbv2 modify-rule --rule-arn "$found" --conditions "$conditions" --actions "Type=forward,TargetGroupArn=$group" > /dev/null
    fi
}
forward 10 '"/v1/*","/health"'
forward 20 '"/docs","/docs/assets/*","/openapi.json"'

say "point $HOST (CNAME or alias) at:"
one elbv2 describe-load-balancers --load-balancer-arns "$balancer" --query 'LoadBalancers[0].DNSName'
printf '\n'
