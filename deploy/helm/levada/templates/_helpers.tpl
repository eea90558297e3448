{{- define "levada.name" -}}
{{- printf "%s" .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "levada.selector" -}}
app.kubernetes.io/name: levada
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "levada.labels" -}}
{{ include "levada.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "levada.image" -}}
{{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}
{{- end -}}

{{- define "levada.claim" -}}
{{ .Values.storage.existingClaim | default (printf "%s-storage" (include "levada.name" .)) }}
{{- end -}}

{{/* One variable out of a Secret: name, secret, key. */}}
{{- define "levada.secretEnv" -}}
- name: {{ .name }}
  valueFrom: {secretKeyRef: {name: {{ .secret | quote }}, key: {{ .key | quote }}}}
{{- end -}}

{{/* What every process is told. */}}
{{- define "levada.commonEnv" -}}
- {name: LEVADA_LOG_LEVEL, value: {{ .Values.log.level | quote }}}
- {name: LEVADA_LOG_FORMAT, value: {{ .Values.log.format | quote }}}
{{- with .Values.telemetry.otlpEndpoint }}
- {name: LEVADA_TELEMETRY_OTLP_ENDPOINT, value: {{ . | quote }}}
{{- end }}
{{ include "levada.secretEnv" (dict "name" "LEVADA_ENCRYPTION_KEY" "secret" (required "keys.existingSecret names a Secret with encryption-key and worker-token" .Values.keys.existingSecret) "key" "encryption-key") }}
{{ include "levada.secretEnv" (dict "name" "LEVADA_WORKER_TOKEN" "secret" .Values.keys.existingSecret "key" "worker-token") }}
{{- range $name, $value := .Values.env }}
- {name: {{ $name }}, value: {{ $value | toString | quote }}}
{{- end }}
{{- end -}}

{{/* What those are told that may reach Postgres, Kafka and internal storage: all but the workers. */}}
{{- define "levada.controlEnv" -}}
{{ include "levada.commonEnv" . }}
{{ include "levada.secretEnv" (dict "name" "LEVADA_DATABASE_URL" "secret" (required "database.existingSecret names a Secret with the address of Postgres" .Values.database.existingSecret) "key" .Values.database.key) }}
- {name: LEVADA_DATABASE_POOL_SIZE, value: {{ .Values.database.poolSize | quote }}}
{{ include "levada.storageEnv" . }}
{{- $auth := required "auth.existingSecret names a Secret with username and password" .Values.auth.existingSecret }}
{{ include "levada.secretEnv" (dict "name" "LEVADA_BASIC_AUTH_USERNAME" "secret" $auth "key" "username") }}
{{ include "levada.secretEnv" (dict "name" "LEVADA_BASIC_AUTH_PASSWORD" "secret" $auth "key" "password") }}
{{- if .Values.kafka.enabled }}
{{- $kafka := .Values.kafka }}
{{- if not $kafka.bootstrapServers }}{{ fail "kafka.bootstrapServers names the brokers; or set kafka.enabled to false" }}{{ end }}
- {name: LEVADA_KAFKA_BOOTSTRAP_SERVERS, value: {{ join "," $kafka.bootstrapServers | quote }}}
- {name: LEVADA_KAFKA_REPLICATION_FACTOR, value: {{ $kafka.replicationFactor | quote }}}
- {name: LEVADA_KAFKA_SECURITY_PROTOCOL, value: {{ $kafka.securityProtocol | quote }}}
{{- with $kafka.topicPrefix }}
- {name: LEVADA_KAFKA_TOPIC_PREFIX, value: {{ . | quote }}}
{{- end }}
{{- if hasPrefix "SASL_" $kafka.securityProtocol }}
- {name: LEVADA_KAFKA_SASL_MECHANISM, value: {{ $kafka.saslMechanism | quote }}}
{{- $sasl := required "kafka.existingSecret names a Secret with username and password for SASL" $kafka.existingSecret }}
{{ include "levada.secretEnv" (dict "name" "LEVADA_KAFKA_SASL_USERNAME" "secret" $sasl "key" "username") }}
{{ include "levada.secretEnv" (dict "name" "LEVADA_KAFKA_SASL_PASSWORD" "secret" $sasl "key" "password") }}
{{- end }}
{{- if $kafka.tlsSecret }}
- {name: LEVADA_KAFKA_SSL_CA_FILE, value: /etc/levada-kafka/ca.crt}
{{- end }}
{{- end }}
{{- end -}}

{{- define "levada.storageEnv" -}}
{{- $storage := .Values.storage }}
{{- if not $storage.url }}
- {name: LEVADA_STORAGE_URL, value: "file:///storage"}
{{- else }}
- {name: LEVADA_STORAGE_URL, value: {{ $storage.url | quote }}}
{{- with $storage.endpoint }}
- {name: LEVADA_STORAGE_ENDPOINT, value: {{ . | quote }}}
{{- end }}
{{- with $storage.region }}
- {name: LEVADA_STORAGE_REGION, value: {{ . | quote }}}
{{- end }}
{{- if $storage.caSecret }}
- {name: LEVADA_STORAGE_CA_FILE, value: /etc/levada-storage/ca.crt}
{{- end }}
{{- if and $storage.existingSecret (hasPrefix "s3:" $storage.url) }}
{{ include "levada.secretEnv" (dict "name" "LEVADA_STORAGE_ACCESS_KEY" "secret" $storage.existingSecret "key" "access-key") }}
{{ include "levada.secretEnv" (dict "name" "LEVADA_STORAGE_SECRET_KEY" "secret" $storage.existingSecret "key" "secret-key") }}
{{- end }}
{{- range $name, $key := $storage.secretEnv }}
{{ include "levada.secretEnv" (dict "name" $name "secret" (required "storage.existingSecret names the Secret that storage.secretEnv takes from" $storage.existingSecret) "key" $key) }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Where the certificate of an object store is found. */}}
{{- define "levada.storageTls" -}}
{{- if and .Values.storage.url .Values.storage.caSecret -}}true{{- end -}}
{{- end -}}

{{- define "levada.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "levada.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* The top of every pod's spec: root, and the name of its service account. */}}
{{- define "levada.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .account }}
serviceAccountName: {{ . }}
{{- end }}
{{- with .root }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
securityContext: {{ include "levada.podSecurity" . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Probes on the management port. A pod that only waits for Postgres or Kafka is alive and not ready. */}}
{{- define "levada.probes" -}}
startupProbe:
  httpGet: {path: /health/liveness, port: management}
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /health/liveness, port: management}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /health/readiness, port: management}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 2
{{- end -}}

{{- define "levada.spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{ include "levada.selector" .root | nindent 8 }}
        app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "levada.kafkaTls" -}}
{{- if and .Values.kafka.enabled .Values.kafka.tlsSecret -}}true{{- end -}}
{{- end -}}
