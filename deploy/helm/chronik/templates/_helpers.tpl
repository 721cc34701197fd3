{{- define "chronik.name" -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "chronik.selector" -}}
app.kubernetes.io/name: chronik
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "chronik.labels" -}}
{{ include "chronik.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- define "chronik.domain" -}}
{{ include "chronik.name" . }}-nodes.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}
{{- end -}}

{{- define "chronik.peers" -}}
{{- $peers := list -}}
{{- range $i := until (int .Values.founders) -}}
{{- $peers = append $peers (printf "%d@%s-%d.%s:7070" (add1 $i) (include "chronik.name" $) (add1 $i) (include "chronik.domain" $)) -}}
{{- end -}}
{{- join "," $peers -}}
{{- end -}}

{{- define "chronik.hosts" -}}
{{- $name := include "chronik.name" . -}}
{{- $hosts := list $name (printf "%s.%s" $name .Release.Namespace) (printf "%s.%s.svc" $name .Release.Namespace) (printf "%s.%s.svc.%s" $name .Release.Namespace .Values.clusterDomain) -}}
{{- join "," (concat $hosts .Values.allowedHosts) -}}
{{- end -}}
