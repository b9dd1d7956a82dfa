#!/usr/bin/env bash
# A search on Slurm: sbatch deploy/slurm.sh [CONFIG] [RUN]
#
# Starts a Ray head on the first node and a Ray worker on each of the others, then the search on the head.
# Nodes, cards and time are Slurm's to say: sbatch --nodes=8 --gpus-per-node=8 --time=24:00:00 deploy/slurm.sh …
# RUN must lie on storage that all nodes see. Requeued or submitted again, the job goes on where the journal ends.
#SBATCH --job-name=mnas
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-node=1
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

config=${1:-imagenet}
run=${2:-runs/$config}
port=${RAY_PORT:-6379}

# One secret for all processes of this cluster; srun hands the environment on.
export RAY_AUTH_MODE=token
export RAY_AUTH_TOKEN=${RAY_AUTH_TOKEN:-$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')}

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]}
address=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname -I | awk '{print $1}'):$port
gpus=${SLURM_GPUS_ON_NODE:-0}

# The head trains too, like every other node.
srun --nodes=1 --ntasks=1 --overlap --nodelist="$head" \
    ray start --head --node-ip-address="${address%:*}" --port="$port" \
    --num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="$gpus" --block &
sleep 15  # until the head listens
if ((${#nodes[@]} > 1)); then
    others=$(IFS=,; echo "${nodes[*]:1}")
    srun --nodes=$((${#nodes[@]} - 1)) --ntasks-per-node=1 --overlap --nodelist="$others" \
        ray start --address="$address" --num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="$gpus" --block &
fi

# Workers that join later are taken in; those that vanish are done without.
srun --nodes=1 --ntasks=1 --overlap --nodelist="$head" \
    env RAY_ADDRESS="$address" mnas search "$config" --run "$run" --resume-if-exists --set runner.name=ray
