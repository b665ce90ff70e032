#!/bin/sh
# Prepares a Kubo repository for a consortium's private swarm. Run it again after a change: every setting is set anew.
#
#   IPFS_PATH=/var/lib/defedbio-ipfs sh configure.sh SWARM_KEY_FILE [--listen MULTIADDR] [--announce MULTIADDR]
#                                                    [--storage 50GB] [--peer MULTIADDR/p2p/PEERID]...
set -eu
umask 077

fail() {
    echo "configure.sh: $*" >&2
    exit 2
}

[ -n "${IPFS_PATH:-}" ] || fail "IPFS_PATH must name the repository folder"
command -v ipfs >/dev/null || fail "Kubo's ipfs is not on PATH"
[ $# -ge 1 ] && [ -f "$1" ] || fail "the first argument must be the swarm key file (python -m defedbio.ipfs.swarm_key FILE makes one)"
key=$1
shift
[ "$(head -n 1 "$key")" = "/key/swarm/psk/1.0.0/" ] || fail "$key is not a swarm key"

listen=/ip4/0.0.0.0/tcp/4001
announce='[]'
storage=50GB
peers=
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || fail "$1 needs a value"
    case $2 in *[\"\\]*) fail "a quote or backslash in $2" ;; esac
    case $1 in
        --listen) listen=$2 ;;
        --announce) announce="[\"$2\"]" ;;
        --storage) storage=$2 ;;
        --peer)
            case $2 in /*/p2p/?*) ;; *) fail "$2 does not end in /p2p/<peer id>" ;; esac
            peers="$peers${peers:+,}{\"ID\":\"${2##*/p2p/}\",\"Addrs\":[\"${2%/p2p/*}\"]}"
            ;;
        *) fail "unknown option $1" ;;
    esac
    shift 2
done

set_json() { ipfs config --json "$1" "$2"; }
# Settings that came or went with Kubo's versions: older ones refuse the name, and then there is nothing to turn off.
set_if_known() { ipfs config --json "$1" "$2" 2>/dev/null || echo "configure.sh: this Kubo has no $1" >&2; }

mkdir -p "$IPFS_PATH"
[ -f "$IPFS_PATH/config" ] || ipfs init --empty-repo >/dev/null
cp "$key" "$IPFS_PATH/swarm.key"
chmod 600 "$IPFS_PATH/swarm.key"

# Nothing public: no bootstrap, no routing but the peers we name, no discovery, no relays, no settings fetched from outside.
ipfs bootstrap rm --all >/dev/null
set_if_known AutoConf.Enabled false
set_if_known AutoTLS.Enabled false
set_if_known DNS.Resolvers '{}'
set_if_known Routing.DelegatedRouters '[]'
set_if_known Ipns.DelegatedPublishers '[]'
set_if_known Provide.Enabled false
set_json Routing.Type '"none"'
set_json Discovery.MDNS.Enabled false
set_json Swarm.DisableNatPortMap true
set_json Swarm.RelayClient.Enabled false
set_json Swarm.RelayService.Enabled false
set_json Swarm.AddrFilters '[]'

# The RPC controls the node: loopback only, no web page may call it. The gateway serves what is here and fetches nothing.
set_json Addresses.API '"/ip4/127.0.0.1/tcp/5001"'
set_json API.HTTPHeaders '{}'
set_json Addresses.Gateway '"/ip4/127.0.0.1/tcp/8080"'
set_json Gateway.NoFetch true

# A swarm key works over TCP only.
set_json Addresses.Swarm "[\"$listen\"]"
set_json Addresses.Announce "$announce"
set_json Swarm.Transports.Network.QUIC false
set_json Swarm.Transports.Network.WebTransport false
set_if_known Swarm.Transports.Network.WebRTCDirect false
set_json Swarm.Transports.Network.Websocket false
set_json Swarm.Transports.Network.Relay false
set_json Peering.Peers "[$peers]"

# Limits. Collection needs the daemon started with --enable-gc; pinned blobs are never collected.
set_json Swarm.ConnMgr '{"Type":"basic","LowWater":32,"HighWater":96,"GracePeriod":"20s"}'
set_json Swarm.ResourceMgr.MaxMemory '"1GB"'
set_json Datastore.StorageMax "\"$storage\""
set_json Datastore.StorageGCWatermark 80
set_json Datastore.GCPeriod '"1h"'

# The same bytes must get the same CID at every member (ipfs/cid.py): the layout is fixed whatever a later Kubo's default is.
set_if_known Import.CidVersion 1
set_if_known Import.UnixFSRawLeaves true
set_if_known Import.UnixFSChunker '"size-262144"'
set_if_known Import.HashFunction '"sha2-256"'
set_if_known Import.UnixFSFileMaxLinks 174

echo "configured $IPFS_PATH; start it with LIBP2P_FORCE_PNET=1 ipfs daemon --enable-gc"
