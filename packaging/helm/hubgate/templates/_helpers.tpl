{{- define "hubgate.name" -}}
{{- if contains "hubgate" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-hubgate" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "hubgate.secret" -}}
{{ .Values.existingSecret | default (include "hubgate.name" .) }}
{{- end }}

{{- define "hubgate.selector" -}}
app.kubernetes.io/name: hubgate
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "hubgate.natsSelector" -}}
app.kubernetes.io/name: hubgate-nats
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "hubgate.commonLabels" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "hubgate.labels" -}}
{{ include "hubgate.selector" . }}
{{ include "hubgate.commonLabels" . }}
{{- end }}

{{- define "hubgate.natsLabels" -}}
{{ include "hubgate.natsSelector" . }}
{{ include "hubgate.commonLabels" . }}
{{- end }}

{{/* A value in TOML. Numbers of values.yaml are floating-point numbers, whatever they look like. */}}
{{- define "hubgate.toml" -}}
{{- if kindIs "string" . }}{{ toJson . }}
{{- else if kindIs "bool" . }}{{ . }}
{{- else if kindIs "slice" . }}[{{ range $i, $each := . }}{{ if $i }}, {{ end }}{{ include "hubgate.toml" $each }}{{ end }}]
{{- else if kindIs "map" . }}{ {{- range $i, $key := keys . | sortAlpha }}{{ if $i }},{{ end }} {{ toJson $key }} = {{ include "hubgate.toml" (index $ $key) }}{{ end }} }
{{- else if eq (float64 (int64 .)) (float64 .) }}{{ int64 . }}
{{- else }}{{ . }}
{{- end }}
{{- end }}

{{/* The configuration: what the chart sets, and what values set over it. */}}
{{- define "hubgate.config" -}}
{{- $server := dict "listen" "0.0.0.0:8888" "data-dir" "/data" "access-keys-file" "/etc/hubgate/secret/access-keys"
      "drain-delay" (printf "%ds" (int .Values.drain.delaySeconds)) "drain-timeout" (printf "%ds" (int .Values.drain.timeoutSeconds)) }}
{{- if .Values.tls.secretName }}
{{- $_ := set $server "tls" (dict "certificate" "/etc/hubgate/tls/tls.crt" "key" "/etc/hubgate/tls/tls.key") }}
{{- end }}
{{- $config := dict "server" $server "admin" (dict "token-file" "/etc/hubgate/secret/admin-token") }}
{{- if .Values.cluster.enabled }}
{{- $servers := .Values.cluster.servers }}
{{- $user := .Values.cluster.user }}
{{- if .Values.nats.enabled }}
{{- $user = "hubgate" }}
{{- $servers = list }}
{{- range $i := until (int .Values.nats.replicas) }}
{{- $servers = append $servers (printf "nats://%s-nats-%d.%s-nats:4222" (include "hubgate.name" $) $i (include "hubgate.name" $)) }}
{{- end }}
{{- end }}
{{- $cluster := dict "name" .Values.cluster.name "servers" $servers }}
{{- if $user }}
{{- $_ := set $cluster "user" $user }}
{{- $_ := set $cluster "password-file" "/etc/hubgate/secret/nats-password" }}
{{- end }}
{{- $_ := set $config "cluster" $cluster }}
{{- end }}
{{- $config = mergeOverwrite $config (deepCopy .Values.config) }}
{{- range $name := keys $config | sortAlpha }}
{{- $table := index $config $name }}
{{- range ternary $table (list $table) (kindIs "slice" $table) }}
{{ ternary (printf "[[%s]]" $name) (printf "[%s]" $name) (kindIs "slice" $table) }}
{{- $each := . }}
{{- range $key := keys . | sortAlpha }}
{{ toJson $key }} = {{ include "hubgate.toml" (index $each $key) }}
{{- end }}
{{ end }}
{{- end }}
{{- end }}

{{/* What cannot be served, said before anything is installed. */}}
{{- define "hubgate.check" -}}
{{- if and (gt (int .Values.replicas) 1) (not .Values.cluster.enabled) }}
{{- fail "replicas: more than one gateway serve as one over NATS only: set cluster.enabled, and nats.enabled or cluster.servers" }}
{{- end }}
{{- if and .Values.nats.enabled (not .Values.cluster.enabled) }}
{{- fail "nats.enabled: the gateways do not use NATS unless cluster.enabled is set" }}
{{- end }}
{{- if and .Values.cluster.enabled (not .Values.nats.enabled) (not .Values.cluster.servers) }}
{{- fail "cluster.servers: name the NATS servers, or set nats.enabled" }}
{{- end }}
{{- end }}
