{{- /* config.json: what follows from the other values, and `config` over it. */}}
{{- define "k8smgr.config" -}}
{{- $hubs := dict }}
{{- $keywords := dict }}
{{- range $login, $hub := .Values.hubs }}
{{- $hub = $hub | default dict }}
{{- $_ := set $hubs $login ($hub.groups | default (list "access_to_webservice")) }}
{{- if ne $.Values.userHomes.type "none" }}
{{- $_ := set $keywords $login (dict "userhomes_claim" (include "k8smgr.homesClaim" $)) }}
{{- end }}
{{- end }}
{{- $services := dict "base" "/tmp/services" "descriptions" (include "k8smgr.descriptionsPath" .) }}
{{- $_ := set $services "replace" (dict "credential" $keywords) }}
{{- $metrics := dict "enabled" .Values.metrics.enabled }}
{{- if .Values.metrics.enabled }}
{{- $_ := set $metrics "listen" (printf "%s:%d" (include "k8smgr.listenAddress" .) (int .Values.metrics.port)) }}
{{- end }}
{{- $config := dict "services" $services "metrics" $metrics "startup" (dict "create_user" $hubs)
    "userhomes" (dict "base" "/mnt/userhomes" "skel" (include "k8smgr.skeletonPath" .)) }}
{{- if and .Values.tls.enabled .Values.tls.clientCaSecretName }}
{{- $clients := dict "client_ca" "/etc/k8smgr/client-ca/ca.crt" "client_certificates" .Values.tls.clientCertificates }}
{{- $_ := set $config "tls" $clients }}
{{- end }}
{{- mergeOverwrite $config (deepCopy .Values.config) | toPrettyJson }}
{{- end }}

{{- /* The part of it that waits for a restart (src/config/changes.rs); the rest is reloaded while it runs. */}}
{{- define "k8smgr.restartConfig" -}}
{{- $config := include "k8smgr.config" . | fromJson }}
{{- $found := pick $config "listen" "database_url" "tunnel" "tls" }}
{{- range list "services.base" "services.shrunken_list_percent" "startup.create_user" "http.max_header_bytes"
    "http.shutdown_delay_seconds" "metrics.listen" "leader_election.method" "leader_election.lease_seconds"
    "userjobs.bind_address" "userjobs.ssh_program" }}
{{- $name := splitList "." . }}
{{- $_ := set $found . (index (index $config (first $name) | default dict) (last $name) | default "") }}
{{- end }}
{{- toJson $found }}
{{- end }}

{{- /* What of the Secret was given. What was generated stays as it is, and is not told by a hash either. */}}
{{- define "k8smgr.givenSecrets" -}}
{{- $given := dict "superuser" .Values.superuser.password "database" .Values.database.url "cryptKeys" .Values.cryptKeys "existing" .Values.existingSecret }}
{{- range $login, $hub := .Values.hubs }}
{{- $_ := set $given (printf "hub %s" $login) (($hub | default dict).password | default "") }}
{{- end }}
{{- toJson $given }}
{{- end }}

{{- define "k8smgr.descriptionsPath" -}}
{{- if .Values.gitSync.enabled }}/git/current/{{ .Values.gitSync.descriptionsPath }}{{ else }}/etc/k8smgr/descriptions{{ end }}
{{- end }}

{{- define "k8smgr.skeletonPath" -}}
{{- if include "k8smgr.skeletonFromGit" . }}/git/current/{{ .Values.gitSync.skeletonPath }}{{ else }}/etc/k8smgr/skeleton{{ end }}
{{- end }}

{{- define "k8smgr.skeletonFromGit" -}}
{{- if and .Values.gitSync.enabled .Values.gitSync.skeletonPath }}true{{ end }}
{{- end }}
