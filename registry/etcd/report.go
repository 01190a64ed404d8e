// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/metadata/info"
	"dubbo.apache.org/dubbo-go/v3/metadata/mapping"
	"dubbo.apache.org/dubbo-go/v3/metadata/report"
	gxset "github.com/dubbogo/gost/container/set"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/graylane/graylane/internal/shell"
)

// ErrNoMetadata reports that the metadata report has nothing for this application
// and revision. Match it with [errors.Is].
var ErrNoMetadata = errors.New("etcd: no metadata")

// ReportFactory makes metadata reports.
type ReportFactory struct{}

var _ report.MetadataReportFactory = ReportFactory{}

// CreateMetadataReport returns a report for u: Location "host:port[,host:port]",
// parameters timeout (default 5s) and metadata-report.group (default dubbo). It
// does not connect and never returns nil: whatever is wrong is the error of every
// operation.
func (ReportFactory) CreateMetadataReport(u *common.URL) report.MetadataReport { return NewReport(u) }

// Report is the metadata report: what each revision of an application offers, and
// which applications offer a service.
//
// dubbo-go's own waits for the connection when it is made and is nil when there is
// none; it cannot add a second application to a service's mapping once anything
// else was written to etcd, and does not watch mappings.
//
// A Report has no end in dubbo-go. Ours holds the shared connection only while an
// operation runs or a mapping is watched.
type Report struct {
	url     *common.URL
	address address
	timeout time.Duration
	root    string
	fault   error // what is wrong with url

	mappings shell.Mappings
}

var _ report.MetadataReport = (*Report)(nil)

// NewReport is [ReportFactory.CreateMetadataReport].
func NewReport(u *common.URL) *Report {
	r := &Report{url: u}
	var errAddress, errTimeout error
	r.address, errAddress = addressOf(u)
	r.timeout, errTimeout = durationOf(u, constant.TimeoutKey, defaultTimeout)
	r.fault = errors.Join(errAddress, errTimeout)
	r.root = "/" + strings.TrimPrefix(u.GetParam(constant.MetadataReportGroupKey, "dubbo"), "/")
	return r
}

// URL returns the URL that the report was made of.
func (r *Report) URL() *common.URL { return r.url }

// do runs one operation on the shared connection, within the report's timeout.
func (r *Report) do(operation func(context.Context, *clientv3.Client) error) error {
	if r.fault != nil {
		return r.fault
	}
	s := acquire(r.address)
	defer s.release()
	ctx, cancel := context.WithTimeout(context.Background(), r.timeout)
	defer cancel()
	c, err := s.client(ctx)
	if err == nil {
		err = operation(ctx, c)
	}
	if err == nil || errors.Is(err, ErrNoMetadata) || errors.Is(err, report.ErrMappingCASConflict) {
		return err
	}
	return fmt.Errorf("etcd: metadata report %s: %w", r.address.endpoints, s.explain(err))
}

func (r *Report) metadataKey(application, revision string) string {
	return r.root + "/" + application + "/" + revision
}

// GetAppMetadata returns what revision of application offers, or [ErrNoMetadata].
func (r *Report) GetAppMetadata(application, revision string) (*info.MetadataInfo, error) {
	key := r.metadataKey(application, revision)
	meta := &info.MetadataInfo{}
	err := r.do(func(ctx context.Context, c *clientv3.Client) error {
		got, err := c.Get(ctx, key)
		if err != nil {
			return fmt.Errorf("read %s: %w", key, err)
		}
		if len(got.Kvs) == 0 {
			return fmt.Errorf("%w at %s", ErrNoMetadata, key)
		}
		if err := json.Unmarshal(got.Kvs[0].Value, meta); err != nil {
			return fmt.Errorf("read %s: %w", key, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return meta, nil
}

// PublishAppMetadata writes what revision of application offers.
func (r *Report) PublishAppMetadata(application, revision string, meta *info.MetadataInfo) error {
	key := r.metadataKey(application, revision)
	value, err := shell.EncodeMetadata(application, meta)
	if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	return r.do(func(ctx context.Context, c *clientv3.Client) error {
		_, err := c.Put(ctx, key, string(value))
		return err
	})
}

// UnPublishAppMetadata deletes a revision; one that is not there is not an error.
func (r *Report) UnPublishAppMetadata(application, revision string) error {
	return r.do(func(ctx context.Context, c *clientv3.Client) error {
		_, err := c.Delete(ctx, r.metadataKey(application, revision))
		return err
	})
}

// ListAppRevisions returns all revisions of application and when they were written.
func (r *Report) ListAppRevisions(application string) ([]report.AppRevision, error) {
	prefix := r.metadataKey(application, "")
	var revisions []report.AppRevision
	err := r.do(func(ctx context.Context, c *clientv3.Client) error {
		got, err := c.Get(ctx, prefix, withPrefix)
		if err != nil {
			return fmt.Errorf("read %s: %w", prefix, err)
		}
		for _, kv := range got.Kvs {
			revisions = append(revisions, report.AppRevision{
				Revision:   strings.TrimPrefix(string(kv.Key), prefix),
				ModifyTime: report.ParseMetadataLastUpdatedTime(kv.Value),
			})
		}
		return nil
	})
	return revisions, err
}

// RegisterServiceAppMapping adds application to those that offer service. Losing a
// race against another writer is report.ErrMappingCASConflict; dubbo-go repeats then.
func (r *Report) RegisterServiceAppMapping(service, group, application string) error {
	key := r.mappingKey(service, group)
	return r.do(func(ctx context.Context, c *clientv3.Client) error {
		got, err := c.Get(ctx, key)
		if err != nil {
			return fmt.Errorf("read %s: %w", key, err)
		}
		var former string
		var revision int64 // 0: the key does not exist
		if len(got.Kvs) > 0 {
			former, revision = string(got.Kvs[0].Value), got.Kvs[0].ModRevision
		}
		merged, changed := report.MergeServiceAppMapping(former, application)
		if !changed {
			return nil
		}
		resp, err := c.Txn(ctx).
			If(clientv3.Compare(clientv3.ModRevision(key), "=", revision)).
			Then(clientv3.OpPut(key, merged)).
			Commit()
		if err != nil {
			return fmt.Errorf("write %s: %w", key, err)
		}
		if !resp.Succeeded {
			return fmt.Errorf("write %s: %w", key, report.ErrMappingCASConflict)
		}
		return nil
	})
}

func (r *Report) mappingKey(service, group string) string {
	return r.root + "/" + group + "/" + service
}

// GetServiceAppMapping returns the applications that offer service, an empty set if
// none is known. If listener is not nil it hears of every change from then on, also
// when this first read failed, until [Report.RemoveServiceAppMappingListener].
func (r *Report) GetServiceAppMapping(service, group string, listener mapping.MappingListener) (*gxset.HashSet, error) {
	key := r.mappingKey(service, group)
	var value string
	err := r.do(func(ctx context.Context, c *clientv3.Client) error {
		got, err := c.Get(ctx, key)
		if err != nil {
			return fmt.Errorf("read %s: %w", key, err)
		}
		if len(got.Kvs) > 0 {
			value = string(got.Kvs[0].Value)
		}
		return nil
	})
	if listener != nil && r.fault == nil {
		r.mappings.Listen("etcd", key, service, value, listener, func(ctx context.Context, tell func(string)) { followText(ctx, r.address, key, tell) })
	}
	if err != nil {
		return nil, err
	}
	return report.DecodeServiceAppNames(value), nil
}

// RemoveServiceAppMappingListener ends the watches of service. As in dubbo-go's other
// reports this is for all its listeners; none is not an error.
func (r *Report) RemoveServiceAppMappingListener(service, group string) error {
	r.mappings.Remove(r.mappingKey(service, group))
	return nil
}
