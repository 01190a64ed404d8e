// SPDX-License-Identifier: Apache-2.0

package zookeeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/metadata/info"
	"dubbo.apache.org/dubbo-go/v3/metadata/mapping"
	"dubbo.apache.org/dubbo-go/v3/metadata/report"
	"github.com/dubbogo/go-zookeeper/zk"
	gxset "github.com/dubbogo/gost/container/set"

	"github.com/graylane/graylane/internal/keeper"
	"github.com/graylane/graylane/internal/shell"
)

// ErrNoMetadata reports that the metadata report has nothing for this application and
// revision. Match it with [errors.Is].
var ErrNoMetadata = errors.New("zookeeper: no metadata")

// ReportFactory makes metadata reports.
type ReportFactory struct{}

var _ report.MetadataReportFactory = ReportFactory{}

// CreateMetadataReport returns a report for u: Location "host:port[,host:port]",
// parameters timeout (default 5s) and metadata-report.group (default dubbo). It does
// not connect and never returns nil: whatever is wrong is the error of every operation.
func (ReportFactory) CreateMetadataReport(u *common.URL) report.MetadataReport { return NewReport(u) }

// Report is the metadata report: what each revision of an application offers, and
// which applications offer a service.
//
// dubbo-go's own is turned away for ever by a server that has lost its data, and does
// not hear of a mapping that is made after it asked.
//
// A Report has no end in dubbo-go. Ours holds the shared session only while an
// operation runs or a mapping is watched.
type Report struct {
	url      *common.URL
	root     string
	timeout  time.Duration
	mappings shell.Mappings
}

var _ report.MetadataReport = (*Report)(nil)

// NewReport is [ReportFactory.CreateMetadataReport].
func NewReport(u *common.URL) *Report {
	r := &Report{url: u, timeout: defaultTimeout}
	if d := u.GetParamDuration(constant.TimeoutKey, ""); d > 0 {
		r.timeout = d
	}
	r.root = "/" + strings.Trim(u.GetParam(constant.MetadataReportGroupKey, "dubbo"), "/")
	return r
}

// URL returns the URL that the report was made of.
func (r *Report) URL() *common.URL { return r.url }

// inReport runs one operation on the shared session, within the report's timeout.
func inReport[T any](r *Report, operation func(ctx context.Context, s *shared) (T, error)) (T, error) {
	s, err := acquire(r.url)
	if err != nil {
		var none T
		return none, fmt.Errorf("zookeeper: metadata report: %w", err)
	}
	defer s.release()
	ctx, cancel := context.WithTimeout(context.Background(), r.timeout)
	defer cancel()
	what, err := operation(ctx, s)
	if err == nil || errors.Is(err, ErrNoMetadata) || errors.Is(err, report.ErrMappingCASConflict) {
		return what, err
	}
	return what, fmt.Errorf("zookeeper: metadata report %s: %w", s.name(), err)
}

// ask reads something, see [inReport].
func ask[T any](r *Report, question func(c *zk.Conn) (T, error)) (T, error) {
	return inReport(r, func(ctx context.Context, s *shared) (T, error) {
		return try(ctx, s, func(c *zk.Conn, _ func()) (T, error) { return question(c) })
	})
}

// do changes something, see [inReport].
func (r *Report) do(operation func(c *zk.Conn) error) error {
	_, err := ask(r, func(c *zk.Conn) (nothing, error) { return nothing{}, operation(c) })
	return err
}

func (r *Report) metadataNode(application, revision string) string {
	return path.Join(r.root, application, revision)
}

// GetAppMetadata returns what revision of application offers, or [ErrNoMetadata].
func (r *Report) GetAppMetadata(application, revision string) (*info.MetadataInfo, error) {
	at := r.metadataNode(application, revision)
	return ask(r, func(c *zk.Conn) (*info.MetadataInfo, error) {
		raw, _, err := c.Get(at)
		if errors.Is(err, zk.ErrNoNode) {
			return nil, fmt.Errorf("%w at %s", ErrNoMetadata, at)
		}
		if err != nil {
			return nil, err
		}
		meta := &info.MetadataInfo{}
		if err := json.Unmarshal(raw, meta); err != nil {
			return nil, err
		}
		return meta, nil
	})
}

// PublishAppMetadata writes what revision of application offers.
func (r *Report) PublishAppMetadata(application, revision string, meta *info.MetadataInfo) error {
	value, err := shell.EncodeMetadata(application, meta)
	if err != nil {
		return fmt.Errorf("zookeeper: %w", err)
	}
	return r.do(func(c *zk.Conn) error {
		at := r.metadataNode(application, revision)
		err := create(c, at, value)
		if errors.Is(err, zk.ErrNodeExists) {
			_, err = c.Set(at, value, -1)
		}
		return err
	})
}

// create makes a node that stays, and its folders.
func create(c *zk.Conn, at string, value []byte) error {
	_, err := c.Create(at, value, 0, zk.WorldACL(zk.PermAll))
	if errors.Is(err, zk.ErrNoNode) {
		if err = makeFolder(c, path.Dir(at)); err == nil {
			_, err = c.Create(at, value, 0, zk.WorldACL(zk.PermAll))
		}
	}
	return err
}

// UnPublishAppMetadata deletes a revision; one that is not there is not an error.
func (r *Report) UnPublishAppMetadata(application, revision string) error {
	return r.do(func(c *zk.Conn) error {
		err := c.Delete(r.metadataNode(application, revision), -1)
		if errors.Is(err, zk.ErrNoNode) {
			return nil
		}
		return err
	})
}

// ListAppRevisions returns all revisions of application and when they were written.
func (r *Report) ListAppRevisions(application string) ([]report.AppRevision, error) {
	list, err := inReport(r, func(ctx context.Context, s *shared) ([]keeper.Entry, error) {
		return s.list(ctx, path.Join(r.root, application), true)
	})
	if err != nil {
		return nil, err
	}
	revisions := make([]report.AppRevision, 0, len(list))
	for _, e := range list {
		revisions = append(revisions, report.AppRevision{Revision: e.Key, ModifyTime: report.ParseMetadataLastUpdatedTime([]byte(e.Value))})
	}
	return revisions, nil
}

func (r *Report) mappingNode(service, group string) string { return path.Join(r.root, group, service) }

// RegisterServiceAppMapping adds application to those that offer service. Losing a
// race against another writer is report.ErrMappingCASConflict; dubbo-go repeats then.
func (r *Report) RegisterServiceAppMapping(service, group, application string) error {
	at := r.mappingNode(service, group)
	conflict := func(err, lost error) error {
		if errors.Is(err, lost) {
			return fmt.Errorf("write %s: %w", at, report.ErrMappingCASConflict)
		}
		return err
	}
	return r.do(func(c *zk.Conn) error {
		former, stat, err := c.Get(at)
		if errors.Is(err, zk.ErrNoNode) {
			return conflict(create(c, at, []byte(application)), zk.ErrNodeExists)
		}
		if err != nil {
			return err
		}
		merged, changed := report.MergeServiceAppMapping(string(former), application)
		if !changed {
			return nil
		}
		_, err = c.Set(at, []byte(merged), stat.Version)
		return conflict(err, zk.ErrBadVersion)
	})
}

// GetServiceAppMapping returns the applications that offer service, an empty set if
// none is known. If listener is not nil it hears of every change from then on, also
// when this first read failed, until [Report.RemoveServiceAppMappingListener].
func (r *Report) GetServiceAppMapping(service, group string, listener mapping.MappingListener) (*gxset.HashSet, error) {
	at := r.mappingNode(service, group)
	value, err := ask(r, func(c *zk.Conn) (string, error) {
		raw, _, err := c.Get(at)
		if errors.Is(err, zk.ErrNoNode) {
			return "", nil
		}
		return string(raw), err
	})
	if listener != nil {
		r.mappings.Listen("zookeeper", at, service, value, listener, func(ctx context.Context, tell func(string)) { r.follow(ctx, at, tell) })
	}
	if err != nil {
		return nil, err
	}
	return report.DecodeServiceAppNames(value), nil
}

// RemoveServiceAppMappingListener ends the watches of service. As in dubbo-go's other
// reports this is for all its listeners; none is not an error.
func (r *Report) RemoveServiceAppMappingListener(service, group string) error {
	r.mappings.Remove(r.mappingNode(service, group))
	return nil
}

// follow calls tell with what a node holds, until ctx ends.
func (r *Report) follow(ctx context.Context, at string, tell func(value string)) {
	s, err := acquire(r.url)
	if err != nil {
		return // the caller has heard of it
	}
	defer s.release()
	s.followNode(ctx, at, "the last known mapping stays in use", func(raw []byte) { tell(string(raw)) })
}
