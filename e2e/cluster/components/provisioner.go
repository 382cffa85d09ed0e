package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
)

const (
	provisionerName = "test.local/provisioner"
	selectedNode    = "volume.kubernetes.io/selected-node"
	provisionedBy   = "pv.kubernetes.io/provisioned-by"
	// Where a node sees the folder that this process knows as DISKS/NODE/lib/volumes.
	pathInNode = "/var/lib/volumes"
)

// provisioner makes a `local` volume, a plain folder on the chosen node's disk, for every claim of
// its class, and removes both when the claim is gone. It does not enforce sizes.
type provisioner struct {
	client kubernetes.Interface
	disks  string
	queue  workqueue.TypedRateLimitingInterface[key]
}

// key names what changed: a claim has a namespace, a volume has none.
type key struct{ namespace, name string }

func newProvisionerCommand() *cobra.Command {
	var kubeconfig, disks string
	command := &cobra.Command{
		Use: "provisioner",
		RunE: func(command *cobra.Command, _ []string) error {
			config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
			if err != nil {
				return err
			}
			client, err := kubernetes.NewForConfig(config)
			if err != nil {
				return err
			}
			limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[key](100*time.Millisecond, 5*time.Second)
			p := &provisioner{client, disks, workqueue.NewTypedRateLimitingQueue(limiter)}
			return p.run(command.Context())
		},
	}
	command.Flags().StringVar(&kubeconfig, "kubeconfig", "", "how to reach the API server")
	command.Flags().StringVar(&disks, "disks", "", "folder that holds one folder per node")
	return command
}

func (p *provisioner) run(ctx context.Context) error {
	if ctx == nil {
		ctx = context.Background()
	}
	factory := informers.NewSharedInformerFactory(p.client, 0)
	enqueue := func(object any) {
		if accessor, ok := object.(meta.Object); ok {
			p.queue.Add(key{accessor.GetNamespace(), accessor.GetName()})
		}
	}
	handler := cache.ResourceEventHandlerFuncs{AddFunc: enqueue, UpdateFunc: func(_, object any) { enqueue(object) }}
	for _, informer := range []cache.SharedIndexInformer{
		factory.Core().V1().PersistentVolumeClaims().Informer(),
		factory.Core().V1().PersistentVolumes().Informer(),
	} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return err
		}
	}
	factory.Start(ctx.Done())
	for {
		item, stopped := p.queue.Get()
		if stopped {
			return nil
		}
		if err := p.handle(ctx, item); err != nil {
			klog.ErrorS(err, "volume not settled yet", "namespace", item.namespace, "name", item.name)
			p.queue.AddRateLimited(item)
		} else {
			p.queue.Forget(item)
		}
		p.queue.Done(item)
	}
}

// handle reads the object afresh, so that a late or repeated event does no harm.
func (p *provisioner) handle(ctx context.Context, item key) error {
	if item.namespace == "" {
		volume, err := p.client.CoreV1().PersistentVolumes().Get(ctx, item.name, meta.GetOptions{})
		if err != nil {
			return ignoreNotFound(err)
		}
		return p.reclaim(ctx, volume)
	}
	claim, err := p.client.CoreV1().PersistentVolumeClaims(item.namespace).Get(ctx, item.name, meta.GetOptions{})
	if err != nil {
		return ignoreNotFound(err)
	}
	return p.provision(ctx, claim)
}

func (p *provisioner) provision(ctx context.Context, claim *core.PersistentVolumeClaim) error {
	node := claim.Annotations[selectedNode]
	if claim.Status.Phase != core.ClaimPending || claim.Spec.StorageClassName == nil || node == "" {
		return nil
	}
	class, err := p.client.StorageV1().StorageClasses().Get(ctx, *claim.Spec.StorageClassName, meta.GetOptions{})
	if err != nil || class.Provisioner != provisionerName {
		return ignoreNotFound(err)
	}
	name := "pvc-" + string(claim.UID)
	folder := filepath.Join(p.disks, node, "lib/volumes", name)
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return err
	}
	// Pods run as users of their own; the umask took the bits that let those write.
	if err := os.Chmod(folder, 0o777); err != nil {
		return err
	}
	volume := volumeFor(claim, name, node, *class.ReclaimPolicy)
	_, err = p.client.CoreV1().PersistentVolumes().Create(ctx, volume, meta.CreateOptions{})
	if errors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func volumeFor(claim *core.PersistentVolumeClaim, name, node string, policy core.PersistentVolumeReclaimPolicy) *core.PersistentVolume {
	onNode := core.NodeSelectorRequirement{
		Key: core.LabelHostname, Operator: core.NodeSelectorOpIn, Values: []string{node},
	}
	return &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{Name: name, Annotations: map[string]string{provisionedBy: provisionerName}},
		Spec: core.PersistentVolumeSpec{
			Capacity:                      core.ResourceList{core.ResourceStorage: claim.Spec.Resources.Requests[core.ResourceStorage]},
			AccessModes:                   claim.Spec.AccessModes,
			PersistentVolumeReclaimPolicy: policy,
			StorageClassName:              *claim.Spec.StorageClassName,
			VolumeMode:                    claim.Spec.VolumeMode,
			ClaimRef: &core.ObjectReference{
				APIVersion: "v1", Kind: "PersistentVolumeClaim",
				Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
			},
			PersistentVolumeSource: core.PersistentVolumeSource{
				Local: &core.LocalVolumeSource{Path: filepath.Join(pathInNode, name)},
			},
			NodeAffinity: &core.VolumeNodeAffinity{Required: &core.NodeSelector{
				NodeSelectorTerms: []core.NodeSelectorTerm{{MatchExpressions: []core.NodeSelectorRequirement{onNode}}},
			}},
		},
	}
}

// reclaim deletes the data of a volume whose claim is gone, then the volume.
func (p *provisioner) reclaim(ctx context.Context, volume *core.PersistentVolume) error {
	if volume.Annotations[provisionedBy] != provisionerName ||
		volume.Status.Phase != core.VolumeReleased ||
		volume.Spec.PersistentVolumeReclaimPolicy != core.PersistentVolumeReclaimDelete {
		return nil
	}
	// The name decides what is deleted, so it must be one that this provisioner gives.
	folders, err := filepath.Glob(filepath.Join(p.disks, "*", "lib/volumes", "pvc-"+string(volume.Spec.ClaimRef.UID)))
	if err != nil || volume.Name != "pvc-"+string(volume.Spec.ClaimRef.UID) {
		return fmt.Errorf("volume %s is not of the claim %s: %w", volume.Name, volume.Spec.ClaimRef.UID, err)
	}
	for _, folder := range folders {
		if err := os.RemoveAll(folder); err != nil {
			return err
		}
	}
	return ignoreNotFound(p.client.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, meta.DeleteOptions{}))
}

func ignoreNotFound(err error) error {
	if errors.IsNotFound(err) {
		return nil
	}
	return err
}
