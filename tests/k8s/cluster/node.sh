#!/bin/sh
# A node, in namespaces of its own: mounts, processes, network. node.py starts it through
# unshare(1) and puts the wire into its network; whoever kills it kills all that runs on the node.
#   node.sh NAME ADDRESS GATEWAY FOLDER PROGRAMS IMAGES POD_NETWORKS ROUTE...
# FOLDER holds what node.py and machine.py wrote for it (kubelet.yaml, kubelet.conf, proxy.conf, cni/, and the
# libraries' folder beside PROGRAMS) and all that it writes.
set -eu

name=$1 address=$2 gateway=$3 folder=$4 programs=$5 images=$6 pod_networks=$7
shift 7
PATH=$programs:$PATH
export DOCKER_HOST=unix:///run/docker.sock

turns=0
until ip link show eth0 >/dev/null 2>&1; do
    turns=$((turns + 1))
    [ $turns -lt 100 ] || exit 1
    sleep 0.1
done
ip link set lo up
ip address add "$address/24" dev eth0
ip link set eth0 up
ip route add default via "$gateway"
for route; do ip route add "${route%=*}" via "${route#*=}"; done
echo 1 >/proc/sys/net/ipv4/ip_forward # of this network alone

# What would be written outside of FOLDER goes with the node.
mount --make-rshared /
for each in /run /var/lib /var/log; do mount -t tmpfs tmpfs "$each"; done
# The kubelet wants these so, and they are the whole machine's: it finds them so, and writes nothing.
mkdir "$folder/kernel"
while read -r key value; do
    echo "$value" >"$folder/kernel/${key##*/}"
    mount --bind "$folder/kernel/${key##*/}" "/proc/sys/$key"
done <<KERNEL
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
KERNEL

# Pods are to be spared when memory ends, which a root without CAP_SYS_RESOURCE cannot ask for: then
# it is not asked for.
runtime=runc
if ! (echo -1 >/proc/self/oom_score_adj) 2>/dev/null; then
    runtime=unspared
    cat >"$folder/$runtime" <<'RUNTIME'
#!/bin/sh
before=""
for word; do
    [ "$before" != --bundle ] || sed -i 's/"oomScoreAdj":-[0-9]*/"oomScoreAdj":0/' "$word/config.json"
    before=$word
done
exec runc "$@"
RUNTIME
    chmod +x "$folder/$runtime"
fi
dockerd --data-root "$folder/docker" --exec-root /run/docker --pidfile /run/docker.pid \
    --add-runtime "unspared=$folder/unspared" --default-runtime "$runtime" \
    --host "$DOCKER_HOST" --bridge none --iptables=false --ip6tables=false --ip-masq=false \
    --ip-forward=false >"$folder/dockerd.log" 2>&1 &
turns=0
until docker info >/dev/null 2>&1; do
    turns=$((turns + 1))
    [ $turns -lt 300 ] || exit 1
    sleep 0.2
done
docker load --quiet --input "$images" >/dev/null

kube-proxy --kubeconfig "$folder/proxy.conf" --hostname-override "$name" --proxy-mode iptables \
    --cluster-cidr "$pod_networks" --conntrack-max-per-core 0 \
    --conntrack-tcp-timeout-established 0 --conntrack-tcp-timeout-close-wait 0 \
    >"$folder/kube-proxy.log" 2>&1 &
kubelet --config "$folder/kubelet.yaml" --kubeconfig "$folder/kubelet.conf" \
    --hostname-override "$name" --node-ip "$address" --root-dir "$folder/kubelet" \
    --cert-dir "$folder/certificates" --container-runtime docker \
    --docker-endpoint "$DOCKER_HOST" --network-plugin cni --cni-conf-dir "$folder/cni" \
    --cni-bin-dir "$programs/../cni" --cni-cache-dir "$folder/cni-cache" \
    >"$folder/kubelet.log" 2>&1 &
wait
