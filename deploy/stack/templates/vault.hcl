disable_mlock = true
ui            = false
api_addr      = {{printf "https://%s" .Addr | printf "%q"}}
cluster_addr  = {{printf "https://%s" .Cluster | printf "%q"}}

listener "tcp" {
  address         = {{printf "%q" .Addr}}
  cluster_address = {{printf "%q" .Cluster}}
  tls_cert_file   = {{printf "%q" .Cert}}
  tls_key_file    = {{printf "%q" .Key}}
}
{{if .Raft}}
storage "raft" {
  path                   = {{printf "%q" .Raft}}
  node_id                = {{printf "%q" .Node}}
  performance_multiplier = 1
}
{{else}}
storage "inmem" {}
{{end}}
