"""Run by .tools/aws' Python, which has boto3: `network`, `describe` or `stack TEMPLATE HOST NAME=VALUE …`; prints JSON.

One process for many calls: the command line takes half a second of CPU for each.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-not-found,unused-ignore]

ZONES = ("a", "b")


def network() -> dict[str, str]:
    """A network with two zones and a security group, as the script's variables."""
    ec2 = boto3.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=f"{ec2.meta.region_name}{zone}")
        for number, zone in enumerate(ZONES)
    ]
    group = ec2.create_security_group(GroupName="alb", Description="alb", VpcId=vpc)["GroupId"]
    return {"VPC": vpc, "SUBNETS": " ".join(one["Subnet"]["SubnetId"] for one in subnets), "SECURITY_GROUPS": group}


def stack(template: str, host: str, *given: str) -> dict[str, str]:
    """The template with a certificate that the account has already."""
    certificate = boto3.client("acm").request_certificate(DomainName=host, ValidationMethod="DNS")["CertificateArn"]
    formation = boto3.client("cloudformation")
    parameters = [
        dict(zip(("ParameterKey", "ParameterValue"), one.split("=", 1), strict=True))
        for one in (*given, f"CertificateArn={certificate}")
    ]
    formation.create_stack(StackName="face-auth", TemplateBody=Path(template).read_text(), Parameters=parameters)
    (made,) = formation.describe_stacks(StackName="face-auth")["Stacks"]
    return {"status": made["StackStatus"]} | {one["OutputKey"]: one["OutputValue"] for one in made.get("Outputs", [])}


def describe() -> dict[str, Any]:
    """What there is of balancers, without the ids that AWS chose."""
    elb = boto3.client("elbv2")
    (balancer,) = elb.describe_load_balancers()["LoadBalancers"]
    (group,) = elb.describe_target_groups()["TargetGroups"]
    listeners = elb.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
    rules = [rule for one in listeners for rule in elb.describe_rules(ListenerArn=one["ListenerArn"])["Rules"]]
    health = elb.describe_target_health(TargetGroupArn=group["TargetGroupArn"])["TargetHealthDescriptions"]
    of_balancer = elb.describe_load_balancer_attributes(LoadBalancerArn=balancer["LoadBalancerArn"])
    of_group = elb.describe_target_group_attributes(TargetGroupArn=group["TargetGroupArn"])
    return {
        "balancer": {name: balancer[name] for name in ("LoadBalancerName", "Scheme", "Type", "VpcId")},
        "subnets": sorted(zone["SubnetId"] for zone in balancer["AvailabilityZones"]),
        "balancer attributes": {one["Key"]: one["Value"] for one in of_balancer["Attributes"]},
        "group": {name: value for name, value in group.items() if not name.endswith(("Arn", "Arns"))},
        "group attributes": {one["Key"]: one["Value"] for one in of_group["Attributes"]},
        "targets": sorted([one["Target"]["Id"], one["Target"]["Port"]] for one in health),
        "listeners": {str(one["Port"]): one for one in listeners},
        "rules": sorted((rule for rule in rules if rule["Priority"] != "default"), key=lambda rule: int(rule["Priority"])),
        "certificates": len(boto3.client("acm").list_certificates()["CertificateSummaryList"]),
    }


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    print(json.dumps({"network": network, "describe": describe, "stack": stack}[command](*arguments)))
