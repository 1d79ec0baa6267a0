module wiretape.example/goclient

go 1.23
