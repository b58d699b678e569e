"""The schema of the sections `kubernetes:` and `aws:` of `fleet.yaml`: what `deploy render` needs beside the fleet itself.

The monitor reads them with the rest of the file, so that a mistake is found there too, and makes no use of them. Pydantic only.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

# A name of Kubernetes (RFC 1123), of one of AWS' load balancers, and the ids that AWS gives.
Dns = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
AwsName = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?$")]
Vpc = Annotated[str, Field(pattern=r"^vpc-[0-9a-f]{8,17}$")]
Subnet = Annotated[str, Field(pattern=r"^subnet-[0-9a-f]{8,17}$")]
SecurityGroup = Annotated[str, Field(pattern=r"^sg-[0-9a-f]{8,17}$")]
Instance = Annotated[str, Field(pattern=r"^i-[0-9a-f]{8,17}$")]
Cidr = Annotated[str, Field(pattern=r"^(\d{1,3}\.){3}\d{1,3}/([0-9]|[12][0-9]|3[0-2])$")]
# CPU as "500m" or "2", memory as "512Mi" or "2Gi".
Cpu = Annotated[str, Field(pattern=r"^[1-9]\d{0,4}m?$")]
Memory = Annotated[str, Field(pattern=r"^[1-9]\d{0,4}(Mi|Gi)$")]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Replicas(Part):
    """How many backends: the autoscaler keeps it between `least` and `most`."""

    least: int = Field(3, ge=2, le=1000)
    most: int = Field(10, ge=2, le=1000)
    cpu_percent: int = Field(70, ge=10, le=95, description="mean use of the requested CPU that the autoscaler aims at")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.most < self.least:
            raise ValueError("most must not be smaller than least")
        return self


class Resources(Part):
    """Of one backend."""

    cpu: Cpu = Field("1", description="requested; there is no limit, so that a burst of work is not throttled")
    memory: Memory = Field("2Gi", description="requested and at most")


class Database(Part):
    """Where PostgreSQL listens, for the network policy: the URL itself is a secret."""

    cidr: Cidr = "10.0.0.0/8"
    port: int = Field(5432, ge=1, le=65535)


class Kubernetes(Part):
    """Names default to the guide's."""

    namespace: Dns = "face-auth"
    images: str = Field(
        "registry.example.com/face-auth",
        pattern=r"^[a-z0-9][a-z0-9.-]*(:\d{1,5})?(/[a-z0-9]+([._-][a-z0-9]+)*)*$",
        max_length=200,
        description="where the three images are: face-auth-api, face-auth-monitor and face-auth-dashboard are below it",
    )
    version: str | None = Field(
        None, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$", description="tag of the images; default: this version's own"
    )
    deployment: Dns = "face-auth-api"
    service: Dns = "face-auth-service"
    ingress: Dns = "face-auth-ingress"
    tls_name: Dns = Field("face-auth-tls", description="of the Secret into which cert-manager writes the public certificate")
    cluster_issuer: Dns = Field("letsencrypt-prod", description="cert-manager's issuer of the public certificates")
    gateway_class: Dns = Field("nginx", description="class of the Gateway API's implementation in the cluster")
    gateway_namespace: Dns = Field("nginx-gateway", description="namespace from which that implementation's proxies connect")
    ingress_namespace: Dns = Field("ingress-nginx", description="the same of the Ingress controller (overlay ingress-legacy)")
    monitoring_namespace: Dns = Field("monitoring", description="namespace of the Prometheus that scrapes")
    replicas: Replicas = Replicas()
    resources: Resources = Resources()
    database: Database = Database()
    pod_cidr: Cidr = Field("10.0.0.0/8", description="the pods' addresses: whose X-Forwarded-For the backends believe")
    pre_stop_s: int = Field(10, ge=1, le=60, description="seconds that a stopping pod goes on, until every proxy has heard of it")
    start_budget_s: int = Field(120, ge=30, le=900, description="seconds that loading the model and the gallery may take")

    @model_validator(mode="after")
    def _no_latest(self) -> Self:
        if self.version == "latest":
            raise ValueError("version: `latest` is no version: name the one that is to run")
        return self


class Aws(Part):
    """Names default to the guide's. What only the account knows may be left out here and given to the script as variables."""

    region: str = Field("eu-west-1", pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")
    load_balancer: AwsName = "face-auth-lb"
    target_group: AwsName = "face-auth-targets"
    internal: bool = Field(False, description="reachable from the VPC alone")
    vpc: Vpc | None = None
    subnets: list[Subnet] = Field([], max_length=20, description="of two availability zones at least")
    security_groups: list[SecurityGroup] = Field([], max_length=5)
    certificate_arn: str | None = Field(
        None, pattern=r"^arn:aws[a-z-]*:acm:[a-z0-9-]+:\d{12}:certificate/[0-9a-f-]{36}$", description="default: requested"
    )
    instances: list[Instance] = Field([], max_length=1000, description="EC2 ids, in place of the backends' addresses")
    deregistration_delay_s: int = Field(30, ge=0, le=3600)
    slow_start_s: int = Field(0, ge=0, le=900, description="0 = off")
    idle_timeout_s: int = Field(60, ge=1, le=4000)
    tls_policy: str = Field("ELBSecurityPolicy-TLS13-1-2-Res-2021-06", pattern=r"^ELBSecurityPolicy-[A-Za-z0-9-]{1,80}$")
