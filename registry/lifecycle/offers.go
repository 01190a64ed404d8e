// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"errors"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/metadata"
	mapping "dubbo.apache.org/dubbo-go/v3/metadata/mapping/metadata"
	metareport "dubbo.apache.org/dubbo-go/v3/metadata/report"
	"github.com/dubbogo/gost/log/logger"
)

// offersEvery is how often we look whether callers can still find out which
// application offers a service, and what its revision offers. These belong to no
// session: where the registry has lost its data nobody else writes them again, and
// callers that start later would find nobody.
const offersEvery = 10 * time.Second

// keepOffers writes again what is missing, until the instance leaves. dubbo-go writes
// each of these once, when a service is registered. Where it is all there a round is
// one read a service.
func (r *registrar) keepOffers() {
	tick := time.NewTicker(offersEvery)
	defer tick.Stop()
	for failed := false; ; {
		select {
		case <-tick.C:
		case <-r.m.stop:
			return
		}
		err := protect(r.offer)
		if err != nil && !failed {
			logger.Warnf("[graylane] registry %s: which application offers which service: %v; looking again every %v", r.name, err, offersEvery)
		}
		failed = err != nil
	}
}

// offer does one round. Writing a mapping that is there changes nothing. What fails
// keeps nothing else from being tried.
func (r *registrar) offer() error {
	r.mu.Lock()
	var urls []*common.URL
	for _, s := range r.services {
		if !s.withdrawn {
			urls = append(urls, s.original)
		}
	}
	r.mu.Unlock()
	if len(urls) == 0 {
		return nil
	}
	return errors.Join(r.offerMappings(urls), r.offerMetadata())
}

// offerMappings writes where dubbo-go does: to every metadata report. Unlike with its
// Map, one that cannot be reached keeps no other from getting its own. A mapping of the
// program's own is asked instead.
func (r *registrar) offerMappings(urls []*common.URL) error {
	var failed []error
	own := extension.GetGlobalServiceNameMapping()
	if _, ok := own.(*mapping.ServiceNameMapping); !ok {
		for _, u := range urls {
			failed = append(failed, own.Map(u))
		}
		return errors.Join(failed...)
	}
	for _, to := range metadata.GetMetadataReports() {
		for _, u := range urls {
			err := to.RegisterServiceAppMapping(u.GetParam(constant.InterfaceKey, ""), mapping.DefaultGroup, u.GetParam(constant.ApplicationKey, ""))
			if err == nil {
				continue
			}
			failed = append(failed, err)
			if !errors.Is(err, metareport.ErrMappingCASConflict) { // that is of one service only
				break // the others would each take as long to fail
			}
		}
	}
	return errors.Join(failed...)
}

// offerMetadata writes what this instance's revision offers.
func (r *registrar) offerMetadata() error {
	if metadata.GetMetadataType() != constant.RemoteMetadataStorageType {
		return nil
	}
	id := r.url.GetParam(constant.RegistryIdKey, constant.DefaultKey)
	live, to := metadata.GetMetadataInfo(id), metadata.GetMetadataReportByRegistry(id)
	if live == nil || to == nil {
		return nil
	}
	r.ops.Lock() // a registration writes the revision
	now := live.Snapshot()
	r.ops.Unlock()
	if _, err := to.GetAppMetadata(now.App, now.Revision); err != nil { // missing is an error, and writing says of others what is wrong
		now.LastUpdatedTime = time.Now().UnixMilli() // as dubbo-go does; others delete what is old
		return to.PublishAppMetadata(now.App, now.Revision, &now)
	}
	return nil
}
