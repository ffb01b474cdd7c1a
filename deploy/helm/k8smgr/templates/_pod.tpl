{{- /* Parts of the pod. */}}

{{- /* A kubelet has none to show: its probes then go where the metrics are. */}}
{{- define "k8smgr.clientsNeedCertificates" -}}
{{- with .Values.tls }}
{{- if and .enabled .clientCaSecretName (eq .clientCertificates "required") }}true{{ end }}
{{- end }}
{{- end }}

{{- define "k8smgr.probe" -}}
{{- $probe := omit .probe "enabled" }}
{{- if not (or $probe.httpGet $probe.exec $probe.tcpSocket $probe.grpc) }}
httpGet:
  path: {{ .path }}
  {{- if include "k8smgr.clientsNeedCertificates" .root }}
  port: metrics
  {{- else }}
  port: {{ include "k8smgr.portName" .root }}
  {{- if .root.Values.tls.enabled }}
  scheme: HTTPS
  {{- end }}
  {{- end }}
{{- end }}
{{ toYaml $probe }}
{{- end }}

{{- define "k8smgr.containerEnv" -}}
- name: DEPLOYMENT_NAME
  value: {{ .Values.deploymentName | default (include "k8smgr.fullname" .) | quote }}
{{- with .Values.singleuser.namespace }}
- name: DEPLOYMENT_NAMESPACE
  value: {{ . | quote }}
{{- end }}
{{- with .Values.stage }}
- name: STAGE
  value: {{ . | quote }}
{{- end }}
{{- if eq .Values.database.type "sqlite" }}
- name: DATABASE_URL
  value: sqlite:///var/lib/k8smgr/k8smgr.sqlite3
{{- end }}
{{- if .Values.tls.enabled }}
- name: GUNICORN_SSL_CRT
  value: /etc/k8smgr/tls/tls.crt
- name: GUNICORN_SSL_KEY
  value: /etc/k8smgr/tls/tls.key
{{- end }}
{{- include "k8smgr.env" .Values.extraEnv }}
{{- end }}

{{- define "k8smgr.volumeMounts" -}}
- {name: config, mountPath: /etc/k8smgr/config, readOnly: true}
{{- if .Values.gitSync.enabled }}
- {name: git, mountPath: /git, readOnly: true}
{{- else }}
- {name: descriptions, mountPath: /etc/k8smgr/descriptions, readOnly: true{{ with .Values.descriptions.subPath }}, subPath: {{ . | quote }}{{ end }}}
{{- end }}
{{- if not (include "k8smgr.skeletonFromGit" .) }}
- {name: skeleton, mountPath: /etc/k8smgr/skeleton, readOnly: true{{ with .Values.skeleton.subPath }}, subPath: {{ . | quote }}{{ end }}}
{{- end }}
- {name: homes, mountPath: /mnt/userhomes}
{{- if eq .Values.database.type "sqlite" }}
- {name: state, mountPath: /var/lib/k8smgr}
{{- end }}
{{- if .Values.tls.enabled }}
- {name: tls, mountPath: /etc/k8smgr/tls, readOnly: true}
{{- if .Values.tls.clientCaSecretName }}
- {name: client-ca, mountPath: /etc/k8smgr/client-ca, readOnly: true}
{{- end }}
{{- end }}
- {name: tmp, mountPath: /tmp}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* A folder of files: a claim, or ConfigMaps. */}}
{{- define "k8smgr.filesVolume" -}}
- name: {{ .name }}
  {{- if .from.existingClaim }}
  persistentVolumeClaim: {claimName: {{ .from.existingClaim }}, readOnly: true}
  {{- else }}
  projected:
    sources:
      - configMap:
          name: {{ include "k8smgr.fullname" .root }}-{{ .name }}
          {{- with .from.files }}
          items:
            {{- include "k8smgr.fileItems" . | nindent 12 }}
          {{- end }}
      {{- range .from.configMaps }}
      - configMap:
          {{- toYaml . | nindent 10 }}
      {{- end }}
  {{- end }}
{{- end }}

{{- define "k8smgr.volumes" -}}
- name: config
  configMap: {name: {{ include "k8smgr.fullname" . }}}
{{- if .Values.gitSync.enabled }}
- name: git
  emptyDir: {}
{{- else }}
{{ include "k8smgr.filesVolume" (dict "root" . "name" "descriptions" "from" .Values.descriptions) }}
{{- end }}
{{- if not (include "k8smgr.skeletonFromGit" .) }}
{{ include "k8smgr.filesVolume" (dict "root" . "name" "skeleton" "from" .Values.skeleton) }}
{{- end }}
- name: homes
  {{- if eq .Values.userHomes.type "none" }}
  emptyDir: {}
  {{- else }}
  persistentVolumeClaim: {claimName: {{ include "k8smgr.homesClaim" . }}}
  {{- end }}
{{- if eq .Values.database.type "sqlite" }}
- name: state
  persistentVolumeClaim: {claimName: {{ include "k8smgr.stateClaim" . }}}
{{- end }}
{{- if .Values.tls.enabled }}
- name: tls
  # 0440, by fsGroup: the key is nobody else's.
  secret: {secretName: {{ .Values.tls.secretName }}, defaultMode: 288}
{{- if .Values.tls.clientCaSecretName }}
- name: client-ca
  secret: {secretName: {{ .Values.tls.clientCaSecretName }}}
{{- end }}
{{- end }}
- name: tmp
  emptyDir: {}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* git-sync: once before K8s Manager starts (`once`), then beside it. */}}
{{- define "k8smgr.gitSync" -}}
{{- with .root.Values }}
- name: git-sync{{ if $.once }}-once{{ end }}
  image: {{ include "k8smgr.image" .gitSync.image }}
  imagePullPolicy: {{ .gitSync.image.pullPolicy }}
  args:
    - --repo={{ .gitSync.repo }}
    - --ref={{ .gitSync.ref }}
    - --root=/git
    - --link=current
    - {{ ternary "--one-time" (printf "--period=%s" .gitSync.period) $.once }}
  {{- with .gitSync.existingSecret }}
  envFrom: [{secretRef: {name: {{ . }}}}]
  {{- end }}
  {{- with .gitSync.extraEnv }}
  env:
    {{- include "k8smgr.env" . | trim | nindent 4 }}
  {{- end }}
  securityContext:
    {{- toYaml .securityContext | nindent 4 }}
  resources:
    {{- toYaml .gitSync.resources | nindent 4 }}
  volumeMounts:
    - {name: git, mountPath: /git}
    - {name: tmp, mountPath: /tmp, subPath: git-sync}
{{- end }}
{{- end }}
