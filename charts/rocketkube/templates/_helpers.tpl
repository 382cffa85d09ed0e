{{/* Name of everything that a release makes; room is left for suffixes. */}}
{{- define "rocketkube.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "rocketkube.operator" -}}
{{- printf "%s-operator" (include "rocketkube.fullname" .) -}}
{{- end -}}

{{- define "rocketkube.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "rocketkube.operator" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name: name the account, or set serviceAccount.create" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* Labels that choose the operator's pods, and never change. Not those of brokers and name servers. */}}
{{- define "rocketkube.selector" -}}
app.kubernetes.io/name: rocketkube-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "rocketkube.labels" -}}
{{ include "rocketkube.selector" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* repository:tag, or repository@digest, of a dict with these and the release's default tag. */}}
{{- define "rocketkube.reference" -}}
{{- if .digest -}}
{{- printf "%s@%s" .repository .digest -}}
{{- else -}}
{{- printf "%s:%s" .repository .tag -}}
{{- end -}}
{{- end -}}

{{- define "rocketkube.image" -}}
{{- $tag := default .Chart.AppVersion .Values.image.tag -}}
{{- include "rocketkube.reference" (dict "repository" .Values.image.repository "tag" $tag "digest" .Values.image.digest) -}}
{{- end -}}

{{- define "rocketkube.brokerImage" -}}
{{- $broker := .Values.brokerImage -}}
{{- if or $broker.repository $broker.tag $broker.digest -}}
{{- $repository := default .Values.image.repository $broker.repository -}}
{{- $tag := default (default .Chart.AppVersion .Values.image.tag) $broker.tag -}}
{{- include "rocketkube.reference" (dict "repository" $repository "tag" $tag "digest" $broker.digest) -}}
{{- else -}}
{{- include "rocketkube.image" . -}}
{{- end -}}
{{- end -}}

{{/* Namespaces that are looked after, separated by commas; empty for all. */}}
{{- define "rocketkube.namespaces" -}}
{{- if eq .Values.watch.mode "Namespace" -}}
{{- .Release.Namespace -}}
{{- else if eq .Values.watch.mode "List" -}}
{{- .Values.watch.namespaces | sortAlpha | uniq | join "," -}}
{{- end -}}
{{- end -}}
