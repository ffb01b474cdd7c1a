{{- /* Names, labels and what several templates need. The container and its volumes are in _pod.tpl. */}}

{{- define "k8smgr.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* At most 50 characters: the longest ending is `-descriptions`. */}}
{{- define "k8smgr.fullname" -}}
{{- $name := include "k8smgr.name" . }}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- default $full .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "k8smgr.selectorLabels" -}}
app.kubernetes.io/name: {{ include "k8smgr.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: k8smgr
{{- end }}

{{- /* Of pods: without versions, so that a new chart alone replaces none. */}}
{{- define "k8smgr.podLabels" -}}
{{ include "k8smgr.selectorLabels" . }}
app.kubernetes.io/part-of: jupyterhub
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "k8smgr.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "k8smgr.podLabels" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "k8smgr.serviceAccountName" -}}
{{- default (ternary (include "k8smgr.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name }}
{{- end }}

{{- define "k8smgr.secretName" -}}
{{- default (include "k8smgr.fullname" .) .Values.existingSecret }}
{{- end }}

{{- define "k8smgr.stateClaim" -}}
{{- default (printf "%s-state" (include "k8smgr.fullname" .)) .Values.persistence.existingClaim }}
{{- end }}

{{- define "k8smgr.homesClaim" -}}
{{- default (printf "%s-homes" (include "k8smgr.fullname" .)) .Values.userHomes.existingClaim }}
{{- end }}

{{- define "k8smgr.userNamespace" -}}
{{- default .Release.Namespace .Values.singleuser.namespace }}
{{- end }}

{{- define "k8smgr.image" -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag }}{{ end }}
{{- end }}

{{- define "k8smgr.listenAddress" -}}
{{- .Values.listenAddress | default "0.0.0.0" }}
{{- end }}

{{- /* The name of the port of the API, in the Service and in the pod. */}}
{{- define "k8smgr.portName" -}}
{{- ternary "https" "http" .Values.tls.enabled }}
{{- end }}

{{- define "k8smgr.port" -}}
{{- ternary .Values.tls.port .Values.containerPort .Values.tls.enabled | int }}
{{- end }}

{{- define "k8smgr.servicePort" -}}
{{- .Values.service.port | default (ternary 443 80 .Values.tls.enabled) | int }}
{{- end }}

{{- /* The port in `database.url`. Not by urlParse, which quotes the password of a URL that it cannot read. */}}
{{- define "k8smgr.databasePort" -}}
{{- $parameter := regexFind "[?&]port=[0-9]+" .Values.database.url }}
{{- $authority := regexReplaceAll "^[^:]*://([^@]*@)?([^/?#]*).*$" .Values.database.url "${2}" }}
{{- $port := regexFind ":[0-9]+$" $authority | default ":5432" }}
{{- regexFind "[0-9]+" ($parameter | default $port) }}
{{- end }}

{{- /* The variable that holds a hub's password: capitals, and `_` for what is no letter or digit. */}}
{{- define "k8smgr.passwordKey" -}}
{{- regexReplaceAll "[^A-Z0-9]" (upper .) "_" }}_USER_PASS
{{- end }}

{{- /* Variables as a list, from a list or from a map of texts and `valueFrom`s. */}}
{{- define "k8smgr.env" -}}
{{- if kindIs "map" . }}
{{- range $name, $value := . }}
- name: {{ $name }}
  {{- if kindIs "map" $value }}
  {{- toYaml $value | nindent 2 }}
  {{- else }}
  value: {{ $value | toString | quote }}
  {{- end }}
{{- end }}
{{- else if . }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* The key of a file in a ConfigMap: no slashes there, and two paths never get the same. */}}
{{- define "k8smgr.fileKey" -}}
{{- printf "%s-%s" (sha256sum . | trunc 8) (regexReplaceAll "[^-._a-zA-Z0-9]" . "_") | trunc 253 }}
{{- end }}

{{- define "k8smgr.fileContents" -}}
{{- range $path, $file := . }}
{{ include "k8smgr.fileKey" $path | quote }}: {{ if kindIs "map" $file }}{{ toJson $file.content }}{{ else }}{{ toJson $file }}{{ end }}
{{- end }}
{{- end }}

{{- define "k8smgr.fileItems" -}}
{{- range $path, $file := . }}
- key: {{ include "k8smgr.fileKey" $path | quote }}
  path: {{ $path | quote }}
  {{- if kindIs "map" $file }}
  {{- with $file.mode }}
  mode: {{ int . }}
  {{- end }}
  {{- end }}
{{- end }}
{{- end }}
