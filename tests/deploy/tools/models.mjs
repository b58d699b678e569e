// Objects of other projects' kinds (JSON on standard input), by the validators that were made from those projects' own schemas.
import { readFileSync } from "node:fs";

const PACKAGES = {
  "gateway.networking.k8s.io": "gateway-api",
  "cert-manager.io": "cert-manager",
  "monitoring.coreos.com": "prometheus-operator",
};

for (const one of JSON.parse(readFileSync(0))) {
  const [group, version] = one.apiVersion.split("/");
  const kinds = await import(`@kubernetes-models/${PACKAGES[group]}/${group}/${version}`);
  try {
    new kinds[one.kind](one).validate();
  } catch (error) {
    console.log(`${one.kind}/${one.metadata.name}: ${error.message}`);
    process.exitCode = 1;
  }
}
