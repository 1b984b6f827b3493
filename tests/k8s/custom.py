"""Schemas of the custom resources that production and monitoring use: the fields used, no others.

Kubernetes' own schemas come from a package; these kinds are of operators. Written by hand, and
held against one state of each operator's source, not against its newest release or a cluster:
rabbitmq/cluster-operator (`config/crd/bases/rabbitmq.com_rabbitmqclusters.yaml` and the reference
in `docs/api`), kedacore/keda (`apis/keda/v1alpha1/scaledobject_types.go`, and what the trigger
reads in `pkg/scalers/prometheus_scaler.go`) and prometheus-operator (`pkg/apis/monitoring/v1`:
`podmonitor_types.go`, `prometheusrule_types.go`, and RelabelConfig in `types.go`; endpoints as in
`observability/prometheus/monitors` of rabbitmq/cluster-operator). Where this is stricter than they
are, it says what Cradle wants.
"""

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string", "minLength": 1}
COUNT: Schema = {"type": "integer", "minimum": 0}
ANYTHING: Schema = {"type": "object"}


def _object(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


def _list(of: Schema) -> Schema:
    return {"type": "array", "items": of, "minItems": 1}


METADATA = _object({"name": TEXT, "namespace": TEXT}, {"labels": ANYTHING, "annotations": ANYTHING})


def _resource(api_version: str, kind: str, spec: Schema) -> Schema:
    return _object(
        {
            "apiVersion": {"const": api_version},
            "kind": {"const": kind},
            "metadata": METADATA,
            "spec": spec,
        }
    )


QUANTITY: Schema = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(m|[kMGTPE]i?)?$"}
DURATION: Schema = {"type": "string", "pattern": "^([0-9]+(ms|s|m|h))+$"}

# The operator reads it as INI, where ; and # end a value, and writes what is left for RabbitMQ,
# which takes # alone as a comment.
_READ_AS_INI = r"^((# .+|[a-z0-9_.]+ = [^\s#;]+( # .+)?)\n)+$"
_AMOUNTS = _object({"memory": QUANTITY}, {"cpu": QUANTITY})
_CLUSTER = _object(
    {
        "replicas": {"enum": [1, 3, 5]},  # the operator takes any number and tests these
        "image": TEXT,
        "resources": _object({"requests": _AMOUNTS, "limits": _AMOUNTS}),
        "persistence": _object({"storage": QUANTITY}, {"storageClassName": TEXT}),
        "rabbitmq": _object(
            {"additionalConfig": {**TEXT, "maxLength": 2000, "pattern": _READ_AS_INI}},
            {"additionalPlugins": _list({"type": "string", "pattern": r"^\w+$", "maxLength": 100})},
        ),
    },
    {
        "terminationGracePeriodSeconds": COUNT,
        # A part of a StatefulSet, laid over the operator's; its pods are checked as such elsewhere.
        "override": _object(
            {"statefulSet": _object({"spec": _object({"template": _object({"spec": ANYTHING})})})}
        ),
    },
)
_POLICY = _object({"type": {"enum": ["Pods", "Percent"]}, "value": COUNT, "periodSeconds": COUNT})
_SCALING = _object({}, {"stabilizationWindowSeconds": COUNT, "policies": _list(_POLICY)})
_BEHAVIOR = _object({}, {"scaleDown": _SCALING, "scaleUp": _SCALING})
_PROMETHEUS = _object(
    {
        "type": {"const": "prometheus"},
        # Every value of a trigger is a string.
        "metadata": _object(
            {
                "serverAddress": {"type": "string", "pattern": "^https?://"},
                "query": TEXT,
                "threshold": {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$"},
            },
            {"ignoreNullValues": {"enum": ["true", "false"]}},
        ),
    }
)
_SCALED_OBJECT = _object(
    {"scaleTargetRef": _object({"name": TEXT}, {"kind": TEXT}), "triggers": _list(_PROMETHEUS)},
    {
        "minReplicaCount": COUNT,
        "maxReplicaCount": COUNT,
        "pollingInterval": COUNT,
        "advanced": _object(
            {}, {"horizontalPodAutoscalerConfig": _object({}, {"behavior": _BEHAVIOR})}
        ),
    },
)
_LABEL: Schema = {"type": "string", "pattern": "^[a-z_]+$"}
_RELABELING: Schema = {
    "oneOf": [
        _object({"action": {"const": "replace"}, "targetLabel": _LABEL, "replacement": TEXT}),
        _object(
            {"action": {"const": "replace"}, "sourceLabels": _list(_LABEL), "targetLabel": _LABEL}
        ),
        _object({"action": {"const": "labeldrop"}, "regex": TEXT}),
    ]
}
_ENDPOINT = _object(
    {"port": TEXT},
    {
        "path": {"type": "string", "pattern": "^/"},
        "interval": DURATION,
        "params": {"type": "object", "additionalProperties": _list(TEXT)},
        "relabelings": _list(_RELABELING),
    },
)
_POD_MONITOR = _object(
    {"selector": _object({"matchLabels": ANYTHING}), "podMetricsEndpoints": _list(_ENDPOINT)},
    {"jobLabel": TEXT},
)
_TEXTS: Schema = {"type": "object", "additionalProperties": TEXT}
_ALERT = _object(
    {"alert": TEXT, "expr": TEXT, "labels": _TEXTS, "annotations": _TEXTS}, {"for": DURATION}
)
_RULES = _object({"groups": _list(_object({"name": TEXT, "rules": _list(_ALERT)}))})

SCHEMAS: dict[str, Schema] = {
    "RabbitmqCluster": _resource("rabbitmq.com/v1beta1", "RabbitmqCluster", _CLUSTER),
    "ScaledObject": _resource("keda.sh/v1alpha1", "ScaledObject", _SCALED_OBJECT),
    "PodMonitor": _resource("monitoring.coreos.com/v1", "PodMonitor", _POD_MONITOR),
    "PrometheusRule": _resource("monitoring.coreos.com/v1", "PrometheusRule", _RULES),
}
"""By kind."""
