#!/bin/sh
# Builds Kubernetes 1.20 from Debian's source, with Debian's Go: build-kubernetes.sh FOLDER.
# Programs lie in FOLDER/bin afterwards, with what else a node needs (etcd, the plugins of its
# network, dnsmasq): what is there already is left alone. Nothing is installed: Debian 12's packages
# are fetched and unpacked in FOLDER. What this Kubernetes is, and is not: ../README.md.
set -eu

place=$1
mkdir -p "$place"
place=$(cd "$place" && pwd)
[ ! -e "$place/done" ] || exit 0
programs="kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet"
echo "cradle: building Kubernetes from Debian's source (20 CPU-minutes)"

work=$place/work
rm -rf "$work"
mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial" "$work/packages" "$place/bin"
log=$place/log
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
failed() {
    tail -n 20 "$log" >&2
    exit 1
}

# The mirror in this machine's own apt configuration, with lists of its own. apt checks signatures.
# shellcheck disable=SC2016 # apt's own variable
mirror=$(apt-get indextargets --format '$(SITE)' \
    'Created-By: Packages' 'Origin: Debian' 'Codename: bookworm' | head -n 1)
[ -n "$mirror" ] || { echo "cradle: apt knows no mirror of Debian 12; apt-get update" >&2; exit 2; }
for kind in deb deb-src; do
    echo "$kind [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror bookworm main"
done >"$work/apt/sources.list"
apt() {
    apt-get -qq -o Dir::Etc::SourceList="$work/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$work/apt/lists" -o Dir::Cache="$work/apt/cache" \
        -o APT::Sandbox::User=root "$@" >>"$log" 2>&1 || failed
}
apt update
cd "$work/packages"
apt download golang-1.19-go golang-1.19-src etcd-server containernetworking-plugins \
    conntrack socat dnsmasq-base libnftables1 libjansson4 libnftnl11 libmnl0 \
    libnetfilter-conntrack3 libnfnetlink0 libdbus-1-3 libwrap0
for package in *.deb; do dpkg-deb -x "$package" "$work/root"; done
apt source --download-only kubernetes
mkdir -p "$work/go/src/k8s.io"
dpkg-source -x ./*.dsc "$work/go/src/k8s.io/kubernetes" >>"$log" 2>&1 || failed

# As Debian builds kubectl of it: in GOPATH mode, from what is vendored, and nothing from a network.
cd "$work/go/src/k8s.io/kubernetes"
export GOROOT="$work/root/usr/lib/go-1.19" GOPATH="$work/go" GOCACHE="$work/go-cache" \
    GO111MODULE=off GOPROXY=off GOFLAGS="" CGO_ENABLED=0
PATH=$GOROOT/bin:$PATH
vendored=k8s.io/kubernetes/vendor
version=$vendored/k8s.io/component-base/version
number=$(sed -n 's/^Version: .*really\([0-9.]*\)-.*/\1/p' "$work/packages/"*.dsc)
stamp="-s -w -X $version.gitVersion=v$number -X $version.gitMajor=1 -X $version.gitMinor=20"
build() { # package...
    go build -o "$place/bin/" -ldflags "$stamp" "$@" >>"$log" 2>&1 || failed
}
# The one generated file that the source does not hold: the description of its interface.
build "./vendor/k8s.io/kube-openapi/cmd/openapi-gen"
described=$(grep -rl --include='*.go' '+k8s:openapi-gen=' cmd pkg plugin staging/src/k8s.io |
    grep -v -e /code-generator/ -e /sample-apiserver/ | xargs -n 1 dirname | sort -u |
    sed -e 's,^staging/src/,vendor/,' -e 's,^,k8s.io/kubernetes/,' | paste -sd ,)
"$place/bin/openapi-gen" -O zz_generated.openapi -h hack/boilerplate/boilerplate.generatego.txt \
    -i "$described" -p k8s.io/kubernetes/pkg/generated/openapi -r "$work/violations" \
    >>"$log" 2>&1 || failed
rm "$place/bin/openapi-gen"
# shellcheck disable=SC2046,SC2086 # a list of packages
build $(printf ' ./cmd/%s' $programs)

cp "$work/root/usr/bin/"* "$work/root/usr/sbin/conntrack" "$work/root/usr/sbin/dnsmasq" "$place/bin"
mkdir -p "$place/cni" "$place/lib"
cp "$work/root/usr/lib/cni/"* "$place/cni"
cp -P "$work"/root/usr/lib/*-linux-gnu/*.so* "$work"/root/lib/*-linux-gnu/*.so* "$place/lib"
touch "$place/done"
