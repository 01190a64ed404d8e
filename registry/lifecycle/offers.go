// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/metadata"
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

// offer does one round. Writing a mapping that is there changes nothing.
func (r *registrar) offer() error {
	r.mu.Lock()
	var urls []*common.URL
	for _, s := range r.services {
		if !s.withdrawn {
			urls = append(urls, s.original)
		}
	}
	r.mu.Unlock()
	mapping := extension.GetGlobalServiceNameMapping()
	for _, u := range urls {
		if err := mapping.Map(u); err != nil {
			return err
		}
	}
	if metadata.GetMetadataType() != constant.RemoteMetadataStorageType || len(urls) == 0 {
		return nil
	}
	id := r.url.GetParam(constant.RegistryIdKey, constant.DefaultKey)
	info, report := metadata.GetMetadataInfo(id), metadata.GetMetadataReportByRegistry(id)
	if info == nil || report == nil {
		return nil
	}
	if _, err := report.GetAppMetadata(info.App, info.Revision); err != nil { // missing is an error, and writing says of others what is wrong
		return report.PublishAppMetadata(info.App, info.Revision, info)
	}
	return nil
}
